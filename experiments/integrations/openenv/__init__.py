"""Long-video question answering as an OpenEnv environment: a package for `openenv validate`, `build` and `push`."""
