/* SPDX-License-Identifier: MIT */
#include "base/hash.h"
#include "base/mem.h"
#include "kt_test.h"

static void to_hex(const unsigned char *bytes, size_t len, char *dest)
{
    for (size_t i = 0; i < len; i++) {
        snprintf(dest + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void crc32c_has_the_values_of_rfc_3720(void)
{
    unsigned char data[32];
    memset(data, 0, sizeof data);
    CHECK_INT(kt_crc32c(0, data, 32), 0x8A9136AA);
    memset(data, 0xFF, sizeof data);
    CHECK_INT(kt_crc32c(0, data, 32), 0x62A8AB43);
    for (unsigned char i = 0; i < 32; i++) {
        data[i] = i;
    }
    CHECK_INT(kt_crc32c(0, data, 32), 0x46DD794E);
    CHECK_INT(kt_crc32c(0, "123456789", 9), 0xE3069283);
    CHECK_INT(kt_crc32c(0, NULL, 0), 0);
}

static void crc32c_by_instruction_tables_and_parts_agree(void)
{
    unsigned char data[300];
    kt_random_bytes(data, sizeof data);
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; from + len <= sizeof data; len++) {
            uint32_t whole = kt_crc32c(0, data + from, len);
            CHECK_INT(whole, kt_crc32c_by_tables(0, data + from, len));
            CHECK_INT(whole, kt_crc32c(kt_crc32c(0, data + from, len / 3), data + from + len / 3,
                                       len - len / 3));
        }
    }
}

static void sha256_has_the_values_of_fips_180(void)
{
    unsigned char digest[32];
    char hex[65];
    kt_sha256("abc", 3, digest);
    to_hex(digest, 32, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    kt_sha256(NULL, 0, digest);
    to_hex(digest, 32, hex);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac_has_the_values_of_rfc_4231(void)
{
    unsigned char mac[32];
    char hex[65];
    kt_hmac_sha256(KT_STR("Jefe"), KT_STR("what do ya want for nothing?"), mac);
    to_hex(mac, 32, hex);
    CHECK_STR(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    kt_hmac_sha256((struct kt_str){NULL, 0}, (struct kt_str){NULL, 0}, mac);
    to_hex(mac, 32, hex);
    CHECK_STR(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    char long_key[131];
    memset(long_key, 0xAA, sizeof long_key);
    kt_hmac_sha256(kt_str_n(long_key, sizeof long_key),
                   KT_STR("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    to_hex(mac, 32, hex);
    CHECK_STR(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void hash64_is_xxh3(void)
{
    CHECK(kt_hash64(NULL, 0) == UINT64_C(0x2D06800538D394C2));
    CHECK(kt_hash64("a", 1) != kt_hash64("b", 1));
}

static void secrets_compare_whole(void)
{
    CHECK(kt_equal_const_time(KT_STR("secret"), KT_STR("secret")));
    CHECK(!kt_equal_const_time(KT_STR("secret"), KT_STR("secreT")));
    CHECK(!kt_equal_const_time(KT_STR("secret"), KT_STR("secre")));
    CHECK(!kt_equal_const_time(KT_STR(""), KT_STR("x")));
    CHECK(kt_equal_const_time((struct kt_str){NULL, 0}, KT_STR("")));
}

static void base64_has_the_values_of_rfc_4648(void)
{
    static const char *rows[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"\xFB\xFF", "+/8="},
                                    {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32], bytes[32];
        size_t len = 99;
        CHECK_INT(kt_base64_encode(rows[i][0], strlen(rows[i][0]), text), strlen(rows[i][1]));
        CHECK_STR(text, rows[i][1]);
        CHECK(kt_base64_decode(kt_str(text), bytes, &len));
        CHECK_SLICE(kt_str_n(bytes, len), rows[i][0]);
    }
}

static void base64_is_strict(void)
{
    static const char *bad[] = {"Z",    "Zg",   "Zg=",      "Zg===",      "=",      "====",
                                "Zh==", "Zm9=", "Zg==Zg==", "Zm 9",       "Zm9v\n", "Zm9-",
                                "Z===", "Z=g=", "Zm9vZg=v", "\xC3\xA9==", "Zm9v="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char bytes[32];
        size_t len = 99;
        CHECK(!kt_base64_decode(kt_str(bad[i]), bytes, &len));
        CHECK_INT(len, 99);
    }
}

static void base64_survives_random_bytes(void)
{
    for (size_t len = 0; len < 200; len++) {
        unsigned char bytes[200], again[200];
        char text[300];
        size_t got = 0;
        kt_random_bytes(bytes, len);
        size_t text_len = kt_base64_encode(bytes, len, text);
        CHECK_INT(text_len, (len + 2) / 3 * 4);
        CHECK(kt_base64_decode(kt_str_n(text, text_len), again, &got));
        CHECK(got == len && (len == 0 || memcmp(bytes, again, len) == 0));
    }
}

static void random_ids_are_16_hex_digits_and_differ(void)
{
    char first[KT_ID_LEN + 1], second[KT_ID_LEN + 1];
    uint64_t value;
    kt_random_id(first);
    kt_random_id(second);
    CHECK_INT(strlen(first), 16);
    CHECK(kt_parse_hex_u64(kt_str(first), &value));
    CHECK(strspn(first, "0123456789abcdef") == 16);
    CHECK(strcmp(first, second) != 0);
    CHECK(kt_random_u64() != kt_random_u64());
}

static void the_fast_generator_repeats_by_seed_and_survives_zero(void)
{
    uint64_t a = 42, b = 42, zero = 0;
    for (int i = 0; i < 100; i++) {
        CHECK(kt_prng_next(&a) == kt_prng_next(&b));
    }
    CHECK(kt_prng_next(&zero) != 0 && zero != 0);
}

static const struct kt_test tests[] = {
    TEST(crc32c_has_the_values_of_rfc_3720),
    TEST(crc32c_by_instruction_tables_and_parts_agree),
    TEST(sha256_has_the_values_of_fips_180),
    TEST(hmac_has_the_values_of_rfc_4231),
    TEST(hash64_is_xxh3),
    TEST(secrets_compare_whole),
    TEST(base64_has_the_values_of_rfc_4648),
    TEST(base64_is_strict),
    TEST(base64_survives_random_bytes),
    TEST(random_ids_are_16_hex_digits_and_differ),
    TEST(the_fast_generator_repeats_by_seed_and_survives_zero),
};
KT_TEST_MAIN(tests)
