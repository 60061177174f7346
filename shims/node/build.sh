#!/bin/sh
# The build pipeline runs this in the Node.js build image as fn. All of it is in build/build.js.
exec node "$(dirname "$0")/build/build.js"
