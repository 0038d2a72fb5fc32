# Notes for OpenDevAgent how a Bash script ends and whether it replaced what tests are written with.
#
# Loaded by `BASH_ENV` before a script. Writes nothing to the program's streams: a program must behave as if this file
# were not there. One JSON line when the script starts, one when it has ended by itself; a script that was cut short
# (`exec`, `set -n`) leaves no second line. Scripts with traps of their own, or that end as another program, are not
# watched.

# What a test asks with, as no script under test has a reason to define it.
__opendevagent_replaced() {
    [[ $1 == *[nt]* || ${#BASH_ALIASES[@]} -gt 0 || $PATH != "$__opendevagent_path" || -n $(compgen -A disabled) ]] && return
    local name where
    shopt -s extdebug
    for name in '[' test exit return true false echo printf builtin command declare compgen diff cmp grep; do
        where=$(declare -F -- "$name") && [[ $where != *" $0" ]] && return
    done
    false
}

# The path in the workspace, as JSON may have it.
__opendevagent_inside() {
    local path=${1#"$OPENDEVAGENT_ROOT"/}
    path=${path#./}
    [[ $path == *[\"\\]* ]] || builtin printf '["%s",%d]' "$path" "$2"
}

# The arguments: status, options and command at the end, how many files are on the stack, these, the lines of calls.
__opendevagent_end() {
    local status=$1 options=$2 command=$3 depth=$4 replaced=false left='' line=0 text
    shift 4
    local -a files=("${@:1:depth}") lines=("${@:depth+1}")
    # Where `exit` stands in a file that the script has read.
    if [[ $status == 0 && $depth -gt 1 ]]; then
        while IFS= read -r text; do
            line=$((line + 1))
            [[ $text == *"${command%%$'\n'*}"* ]] && break
        done < "${files[0]}"
        lines=("$line" "${lines[@]}")
        while ((depth-- > 0)); do
            left+=${left:+,}$(__opendevagent_inside "${files[depth]}" "${lines[depth]}")
        done
    fi
    __opendevagent_replaced "$options" && replaced=true
    builtin printf '{"end":%d,"left":[%s],"replaced":%s}\n' $$ "$left" $replaced >> "$OPENDEVAGENT_RECORD"
}

__opendevagent_start() {
    [[ -n $OPENDEVAGENT_RECORD && -z $OPENDEVAGENT_NESTED && ${OPENDEVAGENT_SHELL:-$$} == "$$" ]] || return
    export OPENDEVAGENT_SHELL=$$
    if [[ -z $BASH_EXECUTION_STRING && -f $0 ]]; then
        local own='(^|[^[:alnum:]_])(trap|exec)[[:space:]]'
        [[ $(< "$0") =~ $own ]] && return
    fi
    readonly __opendevagent_path=$PATH
    builtin printf '{"start":%d}\n' $$ >> "$OPENDEVAGENT_RECORD"
    trap '{ __opendevagent_status=$?; __opendevagent_options=$-; set +eux; } 2> /dev/null
        __opendevagent_end "$__opendevagent_status" "$__opendevagent_options" "$BASH_COMMAND" \
            ${#BASH_SOURCE[@]} "${BASH_SOURCE[@]}" "${BASH_LINENO[@]}" 2> /dev/null' EXIT
}
__opendevagent_start 2> /dev/null
