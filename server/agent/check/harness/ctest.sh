# Configures, builds and tests a CMake project, away from its sources.
build=/tmp/build
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Debug --log-level=NOTICE > "$build.log" || { cat "$build.log"; exit 1; }
cmake --build "$build" -j 2 > "$build.log" || { cat "$build.log"; exit 1; }
exec ctest --test-dir "$build" --output-on-failure --output-junit "$OPENDEVAGENT_REPORT"
