/* See ../Arduino.h. */
#pragma once
#include <netdb.h>
