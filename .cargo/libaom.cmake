# Read by every CMake build that a crate starts, that is by libaom's alone.

# The crate asks for "Debug" in cargo's dev profile; without optimisation nothing here is of use.
set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)

# Only the realtime encoder of 8 bit is used.
set(CONFIG_REALTIME_ONLY 1 CACHE STRING "" FORCE)
set(CONFIG_AV1_HIGHBITDEPTH 0 CACHE STRING "" FORCE)
set(CONFIG_DENOISE 0 CACHE STRING "" FORCE)
set(CONFIG_SVT_AV1 0 CACHE STRING "" FORCE)
