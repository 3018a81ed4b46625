/* SPDX-License-Identifier: MIT */
/* net_addr.c - addresses as people write them, and lists of networks. */
#include "base/net.h"
#include "base/net_os.h"

#include <stdio.h>
#include <string.h>

bool kt_ip_parse(struct kt_str text, struct kt_ip *ret_ip)
{
    char copy[64];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.data, '\0', text.len)) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    struct kt_ip ip = {.len = 4};
    if (inet_pton(AF_INET, copy, ip.bytes) == 1) {
        *ret_ip = ip;
        return true;
    }
    ip.len = 16;
    if (inet_pton(AF_INET6, copy, ip.bytes) == 1) {
        *ret_ip = ip;
        return true;
    }
    return false;
}

void kt_ip_unmap(struct kt_ip *ip)
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (ip->len == 16 && memcmp(ip->bytes, mapped, sizeof mapped) == 0) {
        memmove(ip->bytes, ip->bytes + 12, 4);
        ip->len = 4;
    }
}

static bool is_host_name(struct kt_str text)
{
    if (text.len == 0 || text.len > 255) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') {
            return false;
        }
    }
    return true;
}

static bool is_ipv6(struct kt_str text)
{
    struct kt_ip ip;
    return kt_ip_parse(text, &ip) && ip.len == 16;
}

/* Splits "host[:port]"; `port` has data NULL when there is none. */
static bool split_addr(struct kt_str text, struct kt_str *host, struct kt_str *port)
{
    *port = (struct kt_str){NULL, 0};
    if (text.len > 0 && text.data[0] == '[') {
        struct kt_str rest = kt_str_n(text.data + 1, text.len - 1);
        *host = kt_str_cut(&rest, ']');
        if (!rest.data || !is_ipv6(*host)) {
            return false;
        }
        if (rest.len > 0) {
            *port = kt_str_n(rest.data + 1, rest.len - 1);
            return rest.data[0] == ':';
        }
        return true;
    }
    if (is_ipv6(text)) {
        *host = text;
        return true;
    }
    *port = text;
    *host = kt_str_cut(port, ':');
    return is_host_name(*host);
}

enum kt_status kt_addr_parse(struct kt_str text, uint16_t default_port, char ret_host[256],
                             uint16_t *ret_port, struct kt_error *err)
{
    struct kt_str host, port;
    if (!split_addr(text, &host, &port)) {
        return kt_fail(err, KT_BAD_VALUE, "\"%.*s\" is not an address: expected host:port",
                       text.len < 300 ? (int)text.len : 300, text.data ? text.data : "");
    }
    uint64_t number = default_port;
    if (port.data && (!kt_parse_u64(port, &number) || number > 65535)) {
        return kt_fail(err, KT_BAD_VALUE, "\"%.*s\" has no port between 0 and 65535",
                       text.len < 300 ? (int)text.len : 300, text.data);
    }
    kt_str_copy(ret_host, 256, host);
    *ret_port = (uint16_t)number;
    return KT_OK;
}

void kt_addr_format(const char *host, uint16_t port, char dest[KT_ADDR_MAX])
{
    bool brackets = strchr(host, ':') && host[0] != '[';
    snprintf(dest, KT_ADDR_MAX, brackets ? "[%.255s]:%u" : "%.255s:%u", host, (unsigned)port);
}

bool kt_host_is_loopback(const char *host)
{
    struct kt_ip ip;
    if (!kt_ip_parse(kt_str(host), &ip)) {
        return kt_str_eq_nocase(kt_str(host), KT_STR("localhost"));
    }
    kt_ip_unmap(&ip);
    static const unsigned char one[16] = {[15] = 1};
    return ip.len == 4 ? ip.bytes[0] == 127 : memcmp(ip.bytes, one, sizeof one) == 0;
}

struct network {
    struct kt_ip ip;
    unsigned prefix_bits;
};

static bool parse_network(struct kt_str text, struct network *ret)
{
    struct kt_str rest = text, address = kt_str_cut(&rest, '/');
    struct network net;
    if (!kt_ip_parse(address, &net.ip)) {
        return false;
    }
    uint64_t bits = net.ip.len * 8;
    if (rest.data && (!kt_parse_u64(rest, &bits) || bits > net.ip.len * 8)) {
        return false;
    }
    net.prefix_bits = (unsigned)bits;
    struct kt_ip unmapped = net.ip;
    kt_ip_unmap(&unmapped);
    if (unmapped.len != net.ip.len && bits >= 96) {
        net.ip = unmapped;
        net.prefix_bits -= 96;
    }
    *ret = net;
    return true;
}

static bool network_has(const struct network *net, const struct kt_ip *ip)
{
    if (net->ip.len != ip->len) {
        return false;
    }
    size_t whole = net->prefix_bits / 8;
    unsigned left = net->prefix_bits % 8;
    if (memcmp(net->ip.bytes, ip->bytes, whole) != 0) {
        return false;
    }
    return left == 0 || (net->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - left) == 0;
}

bool kt_cidr_list_valid(struct kt_str list)
{
    struct kt_str rest = kt_str_trim(list);
    while (rest.data && list.len > 0) {
        struct network net;
        struct kt_str item = kt_str_trim(kt_str_cut(&rest, ','));
        if (!parse_network(item, &net)) {
            return item.len == 0 && kt_str_trim(list).len == 0;
        }
    }
    return true;
}

bool kt_cidr_list_contains(struct kt_str list, const char *literal)
{
    struct kt_ip ip;
    if (!kt_ip_parse(kt_str(literal), &ip)) {
        return false;
    }
    kt_ip_unmap(&ip);
    struct kt_str rest = list;
    while (rest.data) {
        struct network net;
        if (parse_network(kt_str_trim(kt_str_cut(&rest, ',')), &net) && network_has(&net, &ip)) {
            return true;
        }
    }
    return false;
}
