/* See ../Arduino.h; lwIP has the sockets of POSIX. */
#pragma once
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
