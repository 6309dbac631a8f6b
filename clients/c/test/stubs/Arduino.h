/* What the ESP32 sketch uses of the Arduino core, so that it compiles here. It does not run. */
#pragma once
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
uint32_t millis(void);
void delay(uint32_t ms);
uint32_t analogReadMilliVolts(uint8_t pin);
int64_t esp_timer_get_time(void);
}

struct HardwareSerial {
    void begin(unsigned long baud);
    size_t println(const char *text);
    size_t printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
};
extern HardwareSerial Serial;

void setup();
void loop();
