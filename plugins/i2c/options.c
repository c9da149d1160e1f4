/* SPDX-License-Identifier: Apache-2.0 */
/* The options and methods of the plugin `i2c`. */
#include "i2c.h"
#include "pins.h"

#define END {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL}

#define TYPES "u8|s8|u16be|u16le|s16be|s16le|u24be|u24le|s24be|s24le|u32be|u32le|s32be|s32le|float32be|float32le|bool"

static const struct tbagent_option register_options[] = {
        {"reg", TBAGENT_INT, 0, NULL, 0, 65535, NULL, NULL, "number of the register, as 0x05", NULL},
        {"at", TBAGENT_INT, 0, NULL, 0, 255, NULL, NULL,
         "with command: which byte of the answer it begins with, checksums not counted", NULL},
        {"type", TBAGENT_STRING, 0, "u8", 0, 0, TYPES, NULL,
         "how the number is stored: be with the highest byte first, le with the lowest", NULL},
        {"mask", TBAGENT_INT, 0, NULL, 0, UINT32_MAX, NULL, NULL,
         "the bits of the number, for signed types the highest one is its sign; a bool is true when one of them is set", NULL},
        {"shift", TBAGENT_INT, 0, "0", 0, 31, NULL, NULL, "by how many bits the number is moved to the right", NULL},
        {"scale", TBAGENT_FLOAT, 0, NULL, 0, 0, NULL, NULL,
         "factor; with scale or offset the value is sent with decimals, otherwise as a whole number", NULL},
        {"offset", TBAGENT_FLOAT, 0, NULL, 0, 0, NULL, NULL, "added after scale", NULL},
        {"invalid", TBAGENT_INT, 0, NULL, 0, UINT32_MAX, NULL, NULL,
         "what the chip sends, before mask, when it has no value", NULL},
        END,
};

static const struct tbagent_option crc_options[] = {
        {"poly", TBAGENT_INT, 0, "0x31", 1, 255, NULL, NULL, "polynomial without its highest bit", NULL},
        {"init", TBAGENT_INT, 0, "0xff", 0, 255, NULL, NULL, "what it begins with", NULL},
        {"block", TBAGENT_INT, 0, "2", 0, 255, NULL, "bytes", "so many bytes are followed by one of checksum; 0: all", NULL},
        END,
};

#define ADDRESS                                                                                                                \
        {"address", TBAGENT_INT, 0, NULL, 0x08, 0x77, NULL, NULL, "0x08 to 0x77, as i2cdetect shows it; unset: the usual", NULL}
#define MUX     {"mux", TBAGENT_INT, 0, NULL, 0x70, 0x77, NULL, NULL, "0x70 to 0x77: the TCA9548A that it is behind", NULL}
#define CHANNEL {"channel", TBAGENT_INT, 0, NULL, 0, 7, NULL, NULL, "of the mux that it is behind", NULL}

static const struct tbagent_option chip_options[] = {
        {"chip", TBAGENT_STRING, 0, NULL, 0, 0,
         "ads1115|aht20|bh1750|bme280|bmp280|bmp388|ccs811|ds3231|hdc1080|htu21d|ina219|ina226|lm75|lm75b|lps22hb|mcp9808|"
         "mpl3115a2|scd4x|sgp40|sht3x|sht4x|si7021|tmp102|tmp117|tsl2591|veml7700",
         NULL, "which chip it is; unset: one that registers describes", NULL},
        ADDRESS,
        MUX,
        CHANNEL,
        {"shunt", TBAGENT_FLOAT, 0, NULL, 0.000001, 1000, NULL, "ohms",
         "ina219, ina226: the resistor that is measured across; unset: 0.1", NULL},
        {"range", TBAGENT_FLOAT, 0, NULL, 0.256, 6.144, NULL, "V",
         "ads1115: what it measures at most, 6.144, 4.096, 2.048, 1.024, 0.512 or 0.256, beyond that it is bad; unset: 4.096",
         NULL},
        {"inputs", TBAGENT_STRINGS, 0, NULL, 1, 8, NULL, NULL,
         "ads1115: \"0\" to \"3\" against ground, \"0-1\", \"0-3\", \"1-3\", \"2-3\" against each other; unset: the four", NULL},
        {"registers", TBAGENT_MAP, 0, NULL, 0, 0, NULL, NULL, "what is read of a chip that is described here, as CHIP_NAME",
         register_options},
        {"init", TBAGENT_STRINGS, 0, NULL, 0, 32, NULL, NULL,
         "what is written when the chip appears: \"0xf4 0x27\", one text for each write", NULL},
        {"command", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL,
         "the chip is read by command: this is written, \"0x24 0x00\", and one read takes the answer", NULL},
        {"delay", TBAGENT_DURATION, 0, "0s", 0, 10, NULL, "s", "from command to answer; 0s: both in one transaction", NULL},
        {"burst", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL,
         "registers that follow each other are read at once; not for chips whose registers are wider than a byte", NULL},
        {"reg_size", TBAGENT_INT, 0, "1", 1, 2, NULL, "bytes", "of a register's number, the higher one first", NULL},
        {"crc", TBAGENT_GROUP, 0, NULL, 0, 0, NULL, NULL,
         "the chip adds a CRC-8; what does not match is repeated, and then bad", crc_options},
        END,
};

static const struct tbagent_option expander_options[] = {
        {"chip", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, "mcp23017|pcf8574", NULL,
         "mcp23017: 16 pins, at 0x20 to 0x27; pcf8574: 8 pins, at 0x20 to 0x27, a PCF8574A 0x38 to 0x3f", NULL},
        ADDRESS,
        MUX,
        CHANNEL,
        END,
};

static const struct tbagent_option pin_options[] = {
        {"expander", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "which of expanders; unset: the only one", NULL},
        {"pin", TBAGENT_INT, TBAGENT_REQUIRED, NULL, 0, 15, NULL, NULL, "0 to 7; mcp23017: GPB0 to GPB7 are 8 to 15", NULL},
        {"direction", TBAGENT_STRING, 0, "in", 0, 0, "in|out", NULL, "in: is read; out: is set", NULL},
        {"active_low", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "true is the low level", NULL},
        {"pull_up", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL,
         "mcp23017, in: its resistor of 100 kOhm to the supply; a pcf8574 has a weak one always", NULL},
        {"initial", TBAGENT_STRING, 0, "as-is", 0, 0, "as-is|on|off", NULL,
         "out: what it is at the start; as-is: its level where the expander drives it already, otherwise off", NULL},
        END,
};

const struct tbagent_option i2c_options[] = {
        {"bus", TBAGENT_INT, 0, "1", 0, 99999, NULL, NULL, "N of /dev/i2c-N", NULL},
        {"adapter", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL,
         "the bus by its path or its name (i2cdetect -l) in place of the number", NULL},
        {"retries", TBAGENT_INT, TBAGENT_RUNTIME, "2", 0, BUS_RETRIES_MAX, NULL, NULL,
         "how often a failed transaction or measurement is repeated before it counts; a timeout is repeated only once", NULL},
        {"chips", TBAGENT_MAP, TBAGENT_PREFIXES, NULL, 0, 0, NULL, NULL, "the chips that are measured", chip_options},
        {"expanders", TBAGENT_MAP, 0, NULL, 0, 0, NULL, NULL, "the chips that have pins", expander_options},
        {"pins", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "their inputs and outputs", pin_options},
        {"root", TBAGENT_STRING, 0, "/", 0, 0, NULL, NULL, "folder with the dev and sys to use, for tests", NULL},
        END,
};

const struct tbagent_method i2c_methods[] = {
        {"set", "true or false", "Sets an output of pins.", TBAGENT_METHOD_CHANNEL, NULL},
        {"get", NULL, "Reads one of pins now.", TBAGENT_METHOD_CHANNEL, NULL},
        {"toggle", NULL, "Turns an output of pins over; answers with what it is then.", TBAGENT_METHOD_CHANNEL, NULL},
        {"counters", NULL, "Transactions since the start, repeated ones, and faults by their kind.", 0, NULL},
        {NULL, NULL, NULL, 0, NULL},
};
