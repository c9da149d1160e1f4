/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `start` has the time that the data sheet gives at most, so a driver that reads too early gets a refusal, or what was
 * there before. Where a data sheet gives a result, the tolerance is that of its last digit; otherwise it is what the
 * plugin rounds to.
 */
#include "i2c-vectors.h"

const Vector vectors[] = {
        {
                .chip = "bmp280",
                .source = "Bosch BST-BMP280-DS001, section 3.12 (worked example): 25.08 degrees, 100653.25 Pa in integers",
                .address = 0x76,
                .description = "model bytes\n"
                               "d0: 58\n"
                               "88: 70 6b 43 67 18 fc 7d 8e 43 d6 d0 0b 27 0b 8c 00 f9 ff 8c 3c f8 c6 70 17\n"
                               "f7: 80 00 00 80 00 00\n"
                               "start f44d 18475 old\n"
                               "busy f3: 08\n"
                               "then f3: 00\n"
                               "then f7: 65 5a c0 7e ed 00\n",
                .values = {{"temperature", 25.08, 0.0001, 0}, {"pressure", 1006.5325, 0.005, 0}},
        },
        {
                .chip = "bme280",
                .source = "github.com/elixir-sensors/bmp280, bme280_sensor_test.exs, \"bme280 1\": 26.7460 degrees, 100391.49"
                          " Pa, 59.2 % in floating point (its H4 = 370, H5 = 60 in the order of nibbles of the data sheet, "
                          "table 16)",
                .address = 0x77,
                .description = "model bytes\n"
                               "d0: 60\n"
                               "88: 1d 6e ad 66 32 00 1b 8f 38 d6 d0 0b 54 2b 0f ff f9 ff 0c 30 20 d1 88 13 00 4b\n"
                               "e1: 52 01 00 17 c2 03 1e\n"
                               "f7: 80 00 00 80 00 00 80 00\n"
                               "start f44d 18475 old\n"
                               "busy f3: 08\n"
                               "then f3: 00\n"
                               "then f7: 45 59 40 82 f3 00 89 6d\n",
                .values = {{"temperature", 26.7460, 0.0051, 0}, {"pressure", 1003.9149, 0.005, 0}, {"humidity", 59.2, 0.1, 0}},
        },
        {
                .chip = "bme280",
                .source = "github.com/elixir-sensors/bmp280, bme280_sensor_test.exs, \"bme280 2\": 20.2649 degrees, 100278.40"
                          " Pa, 64.4 % (H4 = 242, H5 = 56)",
                .address = 0x76,
                .description = "model bytes\n"
                               "d0: 60\n"
                               "88: 89 6e 69 68 32 00 45 91 ac d6 d0 0b c9 1f a9 ff f9 ff ac 26 0a d8 bd 10 00 4b\n"
                               "e1: 8a 01 00 0f 82 03 1e\n"
                               "f7: 80 00 00 80 00 00 80 00\n"
                               "start f44d 18475 old\n"
                               "busy f3: 08\n"
                               "then f3: 00\n"
                               "then f7: 4d 4b 10 7e 0f 80 66 9e\n",
                .values = {{"temperature", 20.2649, 0.0051, 0}, {"pressure", 1002.7840, 0.005, 0}, {"humidity", 64.4, 0.1, 0}},
        },
        {
                .chip = "bme280",
                .source = "Bosch BST-BME280-DS002, section 5.4.7 to 5.4.9: 0x80000 and 0x8000 when a measurement was skipped",
                .address = 0x76,
                .description = "model bytes\n"
                               "d0: 60\n"
                               "88: 1d 6e ad 66 32 00 1b 8f 38 d6 d0 0b 54 2b 0f ff f9 ff 0c 30 20 d1 88 13 00 4b\n"
                               "e1: 52 01 00 17 c2 03 1e\n"
                               "f7: 80 00 00 82 f3 00 80 00\n",
                .values = {{"temperature", 26.7460, 0.0051, 0},
                           {"pressure", 0, 0, "was not measured"},
                           {"humidity", 0, 0, "was not measured"}},
        },
        {
                .chip = "bmp388",
                .source = "github.com/elixir-sensors/bmp3xx, bmp388/calibration_test.exs: 30.499314 degrees, 100876.006347 Pa",
                .address = 0x77,
                .description = "model bytes\n"
                               "00: 50\n"
                               "31: 23 6b 58 49 f6 5c ff ce f4 23 00 ea 63 6e 79 f3 f6 aa 43 12 c4\n"
                               "03: 10 00 00 80 00 00 80\n"
                               "start 1b13 11039 old\n"
                               "busy 03: 10\n"
                               "then 03: 70 97 9f 6d 73 d8 85\n",
                .values = {{"temperature", 30.499314, 0.005, 0}, {"pressure", 1008.760063, 0.005, 0}},
        },
        {
                .chip = "bmp388",
                .source = "Bosch BST-BMP388-DS001, section 4.3.2: bit 0 of the error register is fatal",
                .address = 0x76,
                .description = "model bytes\n"
                               "00: 50\n"
                               "31: 23 6b 58 49 f6 5c ff ce f4 23 00 ea 63 6e 79 f3 f6 aa 43 12 c4\n"
                               "02: 01 70 97 9f 6d 73 d8 85\n",
                .values = {{"temperature", 0, 0, "has failed"}, {"pressure", 0, 0, "has failed"}},
        },
        {
                .chip = "sht3x",
                .source = "Sensirion SHT3x-DIS, sections 4.12 and 4.13, with the words of the example in Sensirion SCD4x "
                          "(1.3), section 3.5.2, whose conversions and checksum are the same: 25 degrees, 37 %",
                .address = 0x44,
                .description = "model commands\n"
                               "start 3093 0 old\n"
                               "start 2400 15500 nack\n"
                               "then 2400: 66 67 a2 5e b9 3c\n",
                .values = {{"temperature", 25, 0.005, 0}, {"humidity", 37, 0.005, 0}},
        },
        {
                .chip = "sht4x",
                .source = "github.com/elixir-sensors/sht4x, measurement_test.exs: 24.67 degrees, 47.66 %",
                .address = 0x44,
                .description = "model commands\n"
                               "start fd 8300 nack\n"
                               "then fd: 65 e9 ea 6d e5 a0\n",
                .values = {{"temperature", 24.67, 0.01, 0}, {"humidity", 47.66, 0.01, 0}},
        },
        {
                .chip = "aht20",
                .source = "github.com/elixir-sensors/aht20/wiki (bytes of a chip, with their checksum), converted as in ASAIR"
                          " DHT20 (1.0), section 8: 158119 and 410343 parts of 2^20 are 15.079402 % and 28.266716 degrees",
                .address = 0x38,
                .description = "model commands\n"
                               "71: 18\n"
                               "start ac3300 80000 old\n"
                               "busy ac3300: 98\n"
                               "then ac3300: 1c 26 9a 76 42 e7 76\n",
                .values = {{"temperature", 28.266716, 0.005, 0}, {"humidity", 15.079402, 0.005, 0}},
        },
        {
                .chip = "aht20",
                .source = "git.nixo.xyz/nixo/hakkoso, crc8_helper.py (bytes of a chip, with their checksum); after a start "
                          "without calibration, ASAIR DHT20 (1.0), section 7.4: 72.249794 %, 20.156861 degrees",
                .address = 0x38,
                .description = "model commands\n"
                               "71: 10\n"
                               "start be0800 10000 old\n"
                               "then 71: 18\n"
                               "start ac3300 80000 old\n"
                               "busy ac3300: 98\n"
                               "then ac3300: 1c b8 f5 a5 9c d0 a3\n",
                .values = {{"temperature", 20.156861, 0.005, 0}, {"humidity", 72.249794, 0.005, 0}},
        },
        {
                .chip = "htu21d",
                .source = "TE HTU20D/HTU21D(F), \"CRC examples\" before \"Conversion of signal outputs\": 0x683a 0x7c is 24.7"
                          " degrees, 0x4e85 0x6b is 32.3 %",
                .address = 0x40,
                .description = "model commands\n"
                               "start f3 50000 nack\n"
                               "then f3: 68 3a 7c\n"
                               "start f5 16000 nack\n"
                               "then f5: 4e 85 6b\n",
                .values = {{"temperature", 24.7, 0.05, 0}, {"humidity", 32.3, 0.05, 0}},
        },
        {
                .chip = "htu21d",
                .source = "the checksum of 00 00 is 00, and its conversion -46.85 degrees and -6 %: below what it measures",
                .address = 0x40,
                .description = "model commands\n"
                               "start f3 50000 nack\n"
                               "then f3: 00 00 00\n"
                               "start f5 16000 nack\n"
                               "then f5: 00 00 00\n",
                .values = {{"temperature", 0, 0, "outside -40 to 125"}, {"humidity", 0, 0, "was not measured"}},
        },
        {
                .chip = "si7021",
                .source = "the same words: Silicon Labs Si7021-A20, section 5.1 has the conversion and checksum of the "
                          "HTU21D, and 22.8 ms for humidity with temperature (table 2)",
                .address = 0x40,
                .description = "model commands\n"
                               "start f3 10800 nack\n"
                               "then f3: 68 3a 7c\n"
                               "start f5 22800 nack\n"
                               "then f5: 4e 85 6b\n",
                .values = {{"temperature", 24.7, 0.05, 0}, {"humidity", 32.3, 0.05, 0}},
        },
        {
                .chip = "hdc1080",
                .source = "Lawrence Stanton, HDC1080.test.cpp (github.com, "
                          "\"getTemperatureStaticImplementsExpectedEquation\"): 0x1234 is -28.26751 degrees and 7.1105957 %",
                .address = 0x40,
                .description = "model words\n"
                               "fe: 54 49\n"
                               "ff: 10 50\n"
                               "start 00 12850 nack\n"
                               "then 00: 12 34 12 34\n",
                .values = {{"temperature", -28.26751, 0.005, 0}, {"humidity", 7.1105957, 0.005, 0}},
        },
        {
                .chip = "ds3231",
                .source = "Maxim DS3231 (19-5170), Temperature Registers (11h-12h): 00011001 01b is +25.25 degrees",
                .address = 0x68,
                .description = "model bytes\n"
                               "11: 19 40\n",
                .values = {{"temperature", 25.25, 0, 0}},
        },
        {
                .chip = "mcp9808",
                .source = "Microchip MCP9808 (DS25095A), figure of reading +25.25 degrees from T_A: 1100 0001, 1001 0100",
                .address = 0x18,
                .description = "model words\n"
                               "06: 00 54\n"
                               "07: 04 00\n"
                               "05: c0 00\n"
                               "start 010000 350000 old\n" /* 250 ms is the typical time; nothing says what it is at most */
                               "then 05: c1 94\n",
                .values = {{"temperature", 25.25, 0, 0}},
        },
        {
                .chip = "mcp9808",
                .source = "Microchip MCP9808 (DS25095A), section 5.1.3.1: two's complement of 13 bits, -25.25 degrees",
                .address = 0x1f,
                .description = "model words\n"
                               "06: 00 54\n"
                               "07: 04 00\n"
                               "05: fe 6c\n",
                .values = {{"temperature", -25.25, 0, 0}},
        },
        {
                .chip = "tmp102",
                .source = "TI TMP102 (SBOS397), 12-bit temperature data format: 0x190 is 25 degrees",
                .address = 0x48,
                .description = "model words\n"
                               "01: 60 a0\n"
                               "00: 00 00\n"
                               "start 01e1a0 35000 old\n"
                               "busy 01: 61 a0\n"
                               "then 01: e1 a0\n"
                               "then 00: 19 00\n",
                .values = {{"temperature", 25, 0, 0}},
        },
        {
                .chip = "tmp102",
                .source = "TI TMP102 (SBOS397), 12-bit temperature data format: 0xe70 is -25 degrees",
                .address = 0x4b,
                .description = "model words\n"
                               "01: 60 a0\n"
                               "00: 00 00\n"
                               "start 01e1a0 35000 old\n"
                               "busy 01: 61 a0\n"
                               "then 01: e1 a0\n"
                               "then 00: e7 00\n",
                .values = {{"temperature", -25, 0, 0}},
        },
        {
                .chip = "lm75",
                .source = "TI LM75A (SNOS808), temperature data: 1 1100 1110 is -25 degrees; the seven bits below mean "
                          "nothing",
                .address = 0x48,
                .description = "model words\n"
                               "00: 00 00\n"
                               "start 0100 300000 old\n"
                               "then 00: e7 7f\n",
                .values = {{"temperature", -25, 0, 0}},
        },
        {
                .chip = "lm75b",
                .source = "NXP LM75B, Temp register values: 0x737 is -25.125 degrees; the five bits below mean nothing",
                .address = 0x4f,
                .description = "model words\n"
                               "00: 00 00\n"
                               "start 0100 300000 old\n"
                               "then 00: e6 ff\n",
                .values = {{"temperature", -25.125, 0, 0}},
        },
        {
                .chip = "tmp117",
                .source = "TI TMP117 (SNOSD82), 16-bit temperature data format: 0x0c80 is 25 degrees",
                .address = 0x48,
                .description = "model words\n"
                               "0f: 01 17\n"
                               "01: 02 20\n"
                               "00: 80 00\n"
                               "start 010c20 140000 old\n"
                               "busy 01: 0c 20\n"
                               "then 01: 2c 20\n"
                               "then 00: 0c 80\n",
                .values = {{"temperature", 25, 0, 0}},
        },
        {
                .chip = "tmp117",
                .source = "TI TMP117 (SNOSD82), temperature register: 0x8000 before the first conversion",
                .address = 0x49,
                .description = "model words\n"
                               "0f: 11 17\n"
                               "01: 02 20\n"
                               "00: 80 00\n"
                               "start 010c20 140000 old\n"
                               "then 01: 2c 20\n",
                .values = {{"temperature", 0, 0, "was not measured"}},
        },
        {
                .chip = "bh1750",
                .source = "ROHM BH1750FVI (2011.11), \"how to calculate\", p. 7: 10000011 10010000 is 28067 lx",
                .address = 0x23,
                .description = "model commands\n"
                               "20: 00 00\n"
                               "01: 00\n"
                               "42: 00\n"
                               "65: 00\n"
                               "start 20 180000 old\n"
                               "need 65: 01\n" /* MTreg is 69, whatever it was before */
                               "then 20: 83 90\n"
                               "start 01 0 old\n"
                               "then 01: 01\n"
                               "start 42 0 old\n"
                               "need 01: 01\n"
                               "then 42: 01\n"
                               "start 65 0 old\n"
                               "need 42: 01\n"
                               "then 65: 01\n",
                .values = {{"illuminance", 28067, 0.5, 0}},
        },
        {
                .chip = "bh1750",
                .source = "ROHM BH1750FVI (2011.11): 16 bits and no more",
                .address = 0x5c,
                .description = "model commands\n"
                               "01: 00\n"
                               "42: 00\n"
                               "65: 00\n"
                               "20: ff ff\n",
                .values = {{"illuminance", 0, 0, "too bright"}},
        },
        {
                .chip = "veml7700",
                .source = "Vishay application note 84323 (2025), resolution table: 0.5376 lx per count with gain 1/8 and 100 "
                          "ms",
                .address = 0x10,
                .description = "model words\n"
                               "00: 01 00\n"
                               "04: 00 00\n"
                               "start 000010 105000 old\n"
                               "then 04: c8 05\n",
                .values = {{"illuminance", 1480 * 0.5376, 0.005, 0}},
        },
        {
                .chip = "veml7700",
                .source = "Vishay application note 84323 (2025): at 50 counts gain 1, 0.0672 lx per count; by day nothing "
                          "else",
                .address = 0x10,
                .description = "model words\n"
                               "00: 01 00\n"
                               "04: 00 00\n"
                               "start 000010 105000 old\n"
                               "then 04: 32 00\n"
                               "start 000000 105000 old\n"
                               "then 04: 90 01\n",
                .values = {{"illuminance", 400 * 0.0672, 0.005, 0}},
        },
        {
                .chip = "veml7700",
                .source = "Vishay application note 84323 (2025): above 1000 lx 6.0135e-13 x^4 - 9.3924e-9 x^3 + 8.1488e-5 x^2"
                          " + 1.0023 x; at 20000 counts 25 ms, 2.1504 lx per count",
                .address = 0x10,
                .description = "model words\n"
                               "00: 01 00\n"
                               "04: 00 00\n"
                               "start 000010 105000 old\n"
                               "then 04: 20 4e\n"
                               "start 000013 30000 old\n"
                               "then 04: 88 13\n",
                .values = {{"illuminance", 16559.35, 0.05, 0}},
        },
        {
                .chip = "veml7700",
                .source = "Vishay VEML7700 (84286), features: up to 140 000 lx; with 50000 counts the polynomial would give 70 "
                          "million",
                .address = 0x10,
                .description = "model words\n"
                               "00: 01 00\n"
                               "04: 00 00\n"
                               "start 000010 105000 old\n"
                               "then 04: 50 c3\n"
                               "start 000013 30000 old\n"
                               "then 04: 50 c3\n",
                .values = {{"illuminance", 0, 0, "too bright"}},
        },
        {
                .chip = "tsl2591",
                .source = "linux drivers/iio/light/tsl2591.c and Adafruit_TSL2591: counts per lx = ms * gain / 408, lx = (c0 "
                          "- c1) * (1 - c1 / c0) / counts per lx; 200 ms, gain 25, c0 = 1000, c1 = 300",
                .address = 0x29,
                .description = "model bytes\n"
                               "b2: 50\n"
                               "start a003 216000 old\n"
                               "busy b3: 00\n"
                               "then b3: 01\n"
                               "then b4: e8 03 2c 01\n",
                .values = {{"illuminance", 39.984, 0.0005, 0}},
        },
        {
                .chip = "tsl2591",
                .source = "in darkness noise is all that there is, of either diode",
                .address = 0x29,
                .description = "model bytes\n"
                               "b2: 50\n"
                               "start a003 216000 old\n"
                               "busy b3: 00\n"
                               "then b3: 01\n"
                               "then b4: 00 00 01 00\n",
                .values = {{"illuminance", 0, 0, 0}},
        },
        {
                .chip = "ads1115",
                .source = "TI ADS1115 (SBAS444), full-scale range and LSB: 125 uV with 4.096 V; the ends of the range are "
                          "clipped",
                .address = 0x48,
                .description = "model words\n"
                               "01: 85 83\n"
                               "00: 00 00\n"
                               "start 01c383 8600 old\n"
                               "busy 01: 43 83\n"
                               "then 01: c3 83\n"
                               "then 00: 5d c0\n"
                               "start 01d383 8600 old\n"
                               "busy 01: 53 83\n"
                               "then 01: d3 83\n"
                               "then 00: 40 00\n"
                               "start 01e383 8600 old\n"
                               "busy 01: 63 83\n"
                               "then 01: e3 83\n"
                               "then 00: ff ff\n"
                               "start 01f383 8600 old\n"
                               "busy 01: 73 83\n"
                               "then 01: f3 83\n"
                               "then 00: 7f ff\n",
                .values = {{"in0", 3, 1e-9, 0},
                           {"in1", 2.048, 1e-9, 0},
                           {"in2", -0.000125, 1e-9, 0},
                           {"in3", 0, 0, "beyond the range"}},
        },
        {
                .chip = "ads1115",
                .source = "TI ADS1115 (SBAS444), full-scale range and LSB: 7.8125 uV with 0.256 V, between inputs 0 and 1",
                .address = 0x4b,
                .options = {{"range", "0.256"}, {"inputs", "0-1"}},
                .description = "model words\n"
                               "01: 85 83\n"
                               "00: 00 00\n"
                               "start 018b83 8600 old\n"
                               "busy 01: 0b 83\n"
                               "then 01: 8b 83\n"
                               "then 00: 80 01\n",
                .values = {{"in0_in1", -32767 * 7.8125e-6, 1e-6, 0}},
        },
        {
                .chip = "ina219",
                .source = "TI INA219 (SBOS448), register results for the example of 10 A through 2 mOhm: 0x07d0 and 0x5d98 "
                          "(with its bit for a finished conversion set) are 11.98 V, 10 A and 119.8 W",
                .address = 0x40,
                .options = {{"shunt", "0.002"}},
                .description = "model words\n"
                               "00: 39 9f\n"
                               "01: 00 00\n"
                               "02: 00 00\n"
                               "start 003e63 18700 old\n"
                               "then 01: 07 d0\n"
                               "then 02: 5d 9a\n",
                .values = {{"voltage", 11.98, 1e-9, 0}, {"current", 10, 1e-9, 0}, {"power", 119.8, 1e-6, 0}},
        },
        {
                .chip = "ina219",
                .source = "TI INA219 (SBOS448), shunt voltage register: 0x8300 is -320 mV, the end of the range",
                .address = 0x4f,
                .description = "model words\n"
                               "00: 39 9f\n"
                               "01: 83 00\n"
                               "02: 5d 9a\n",
                .values = {{"voltage", 11.98, 1e-9, 0},
                           {"current", 0, 0, "more than 320 mV"},
                           {"power", 0, 0, "more than 320 mV"}},
        },
        {
                .chip = "ina226",
                .source = "TI INA226 (SBOS547), example of 10 A through 2 mOhm: 0x1f40 and 0x2570 are 11.98 V, 10 A and 119.8"
                          " W",
                .address = 0x40,
                .options = {{"shunt", "0.002"}},
                .description = "model words\n"
                               "fe: 54 49\n"
                               "ff: 22 60\n"
                               "06: 00 00\n"
                               "01: 00 00\n"
                               "02: 00 00\n"
                               "start 004523 38720 old\n"
                               "busy 06: 00 00\n"
                               "then 06: 00 08\n"
                               "then 01: 1f 40\n"
                               "then 02: 25 70\n",
                .values = {{"voltage", 11.98, 1e-9, 0}, {"current", 10, 1e-9, 0}, {"power", 119.8, 1e-6, 0}},
        },
        {
                .chip = "scd4x",
                .source = "Sensirion SCD4x (1.3, 2022), sections 3.5.2 (500 ppm, 25 degrees, 37 %), 3.8.2 and 3.9.2; the same"
                          " bytes in CPAN Device-Chip-SCD4x, 70sensors.t",
                .address = 0x62,
                .description = "model commands\n"
                               "3682: f8 96 31 9f 07 c2 3b be 89\n"
                               "e4b8: 80 00 a2\n"
                               "start 3f86 500000 nack\n"
                               "start 21b1 5000000 old\n"
                               "then e4b8: 80 06 04\n"
                               "then ec05: 01 f4 33 66 67 a2 5e b9 3c\n",
                .values = {{"co2", 500, 0, 0}, {"temperature", 25, 0.005, 0}, {"humidity", 37, 0.005, 0}},
        },
        {
                .chip = "sgp40",
                .source = "Sensirion SGP40 (1.2, 2022), measure_raw_signal with its default parameters and their checksums; "
                          "checksum example 0xbeef 0x92",
                .address = 0x59,
                .description = "model commands\n"
                               "start 260f8000a2666693 30000 nack\n"
                               "then 260f8000a2666693: be ef 92\n",
                .values = {{"voc_raw", 0xbeef, 0, 0}},
        },
        {
                .chip = "ccs811",
                .source = "github.com/eldruin/embedded-ccs811-rs, tests/app_mode.rs: 12 34 56 78 are 0x1234 ppm and 0x5678 "
                          "ppb",
                .address = 0x5a,
                .description = "model words\n"
                               "20: 81\n"
                               "00: 10\n"
                               "start f4 1000 old\n"
                               "then 00: 90\n"
                               "02: 00 00 00 00 90 00\n"
                               "start 0110 1000000 old\n"
                               "then 02: 12 34 56 78 98 00\n",
                .values = {{"eco2", 0x1234, 0, 0}, {"tvoc", 0x5678, 0, 0}},
        },
        {
                .chip = "mpl3115a2",
                .source = "CPAN Device-Chip-MPL3115A2, t/02read.t: 62 f3 40 is 101325 Pa, 16 80 is 22.5 degrees; NXP MPL3115A2"
                          " (rev. 6), PT_DATA_CFG: without it nothing tells that there are new data",
                .address = 0x60,
                .description = "model bytes\n"
                               "0c: c4\n"
                               "13: 00\n"
                               "start 2622 66000 old\n"
                               "need 13: 07\n"
                               "busy 00: 00\n"
                               "then 00: 0e 62 f3 40 16 80\n",
                .values = {{"temperature", 22.5, 1e-9, 0}, {"pressure", 1013.25, 1e-9, 0}},
        },
        {
                .chip = "lps22hb",
                .source = "ST LPS22HB (DocID027083), table of characteristics: 4096 LSB/hPa and 100 LSB/degree (and linux "
                          "st_pressure_core.c): 0x3f5000 is 1013 hPa, 0xff38 is -2 degrees",
                .address = 0x5c,
                .description = "model bytes\n"
                               "0f: b1\n"
                               "start 1111 15000 old\n"
                               "busy 27: 00\n"
                               "then 27: 03 00 50 3f 38 ff\n",
                .values = {{"temperature", -2, 1e-9, 0}, {"pressure", 1013, 1e-9, 0}},
        },
};

const size_t n_vectors = sizeof(vectors) / sizeof(vectors[0]);
