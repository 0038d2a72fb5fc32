# Runs TypeScript tests under `node --test`: each is compiled with what it imports, beside nothing of the project.
out=.opendevagent
rm -rf "$out"
files=$(find . -path ./node_modules -prune -o \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' \) -print \
    | grep -E '(^|/)test/|[._-](test|spec)\.[mc]?ts$' | grep -vE '\.d\.[mc]?ts$')
# shellcheck disable=SC2086 # a list of files
esbuild $files --bundle --platform=node --format=esm --packages=external --sourcemap --log-level=warning \
    --outbase=. --outdir="$out" --out-extension:.js=.test.mjs \
    --banner:js='import{createRequire as __r}from"node:module";globalThis.require??=__r("/work/");' || exit
# shellcheck disable=SC2046 # one word for each file
exec node --enable-source-maps --test $(find "$out" -name '*.test.mjs' | sort)
