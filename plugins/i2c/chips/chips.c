/* SPDX-License-Identifier: Apache-2.0 */
/* All drivers. A new one: a file here, a row below, its name in `chip` of ../options.c, in the manual, and its vector
 * in tests/unit/i2c-vectors.c. */
#include <string.h>

#include "../i2c.h"
#include "../pins.h"

extern const Driver ads1115_driver, aht20_driver, bh1750_driver, bme280_driver, bmp280_driver, bmp388_driver, ccs811_driver,
        ds3231_driver, hdc1080_driver, htu21d_driver, ina219_driver, ina226_driver, lm75_driver, lm75b_driver, lps22hb_driver,
        mcp9808_driver, mpl3115a2_driver, scd4x_driver, sgp40_driver, sht3x_driver, sht4x_driver, si7021_driver, tmp102_driver,
        tmp117_driver, tsl2591_driver, veml7700_driver;
extern const Port mcp23017_port, pcf8574_port;

/* The more usual ones of an address first: that is how scan names them. */
const Driver *const drivers[] = {
        &bme280_driver, &bmp280_driver,  &bmp388_driver,    &sht3x_driver,   &sht4x_driver,   &aht20_driver,   &htu21d_driver,
        &si7021_driver, &hdc1080_driver, &ina219_driver,    &ina226_driver,  &ads1115_driver, &tmp102_driver,  &lm75_driver,
        &lm75b_driver,  &tmp117_driver,  &mcp9808_driver,   &ds3231_driver,  &bh1750_driver,  &veml7700_driver, &tsl2591_driver,
        &scd4x_driver,  &sgp40_driver,   &ccs811_driver,    &mpl3115a2_driver, &lps22hb_driver, NULL,
};

const Port *const ports[] = {&mcp23017_port, &pcf8574_port, NULL};

const Driver *driver_find(const char *name) {
        for (size_t i = 0; drivers[i]; i++)
                if (strcmp(drivers[i]->name, name) == 0)
                        return drivers[i];
        return NULL;
}
