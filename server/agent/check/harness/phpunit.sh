# Runs PHPUnit, the project's own where it has one, on what its configuration names or else on all tests.
phpunit=phpunit
[ -f vendor/bin/phpunit ] && phpunit="php vendor/bin/phpunit"
set -- --do-not-cache-result --log-junit "$OPENDEVAGENT_REPORT"
if [ ! -f phpunit.xml ] && [ ! -f phpunit.xml.dist ]; then
    [ -f vendor/autoload.php ] && set -- "$@" --bootstrap vendor/autoload.php
    set -- "$@" .
fi
exec $phpunit "$@"
