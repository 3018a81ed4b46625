/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/mem.h"
#include "base/net.h"
#include "kt_test.h"

#ifndef _WIN32
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

static struct kt_error err;

static void addresses_are_read_as_people_write_them(void)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {{"host", "host", 7},
                {"host:80", "host", 80},
                {"10.0.0.1:0", "10.0.0.1", 0},
                {"[::1]:8080", "::1", 8080},
                {"[::1]", "::1", 7},
                {"::1", "::1", 7},
                {"2001:db8::1", "2001:db8::1", 7},
                {"a-b_c.example:65535", "a-b_c.example", 65535},
                {"h:00080", "h", 80}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char host[256];
        uint16_t port;
        CHECK_OK(kt_addr_parse(kt_str(rows[i].text), 7, host, &port, &err));
        CHECK_STR(host, rows[i].host);
        CHECK_INT(port, rows[i].port);
    }
}

static void what_is_no_address_is_refused(void)
{
    static const char *bad[] = {
        "",      ":80",      "host:",    "host:65536",  "host:-1",   "host:+1",  "host: 1",
        "ho st", "host:1:2", "[::1",     "[::1]80",     "[::1]:",    "[host]:1", "[]:1",
        "h/x",   "::1:zz",   "http://h", "[::1]:99999", "h\xC3\xA9", "a:b",      "fe80::1%eth0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char host[256] = "kept";
        uint16_t port = 9;
        CHECK_FAILS(kt_addr_parse(kt_str(bad[i]), 7, host, &port, &err), KT_BAD_VALUE);
        CHECK_STR(host, "kept");
        CHECK_INT(port, 9);
    }
    char name[256], host[256];
    uint16_t port;
    memset(name, 'a', sizeof name);
    CHECK_OK(kt_addr_parse(kt_str_n(name, 255), 7, host, &port, &err));
    CHECK_FAILS(kt_addr_parse(kt_str_n(name, 256), 7, host, &port, &err), KT_BAD_VALUE);
    CHECK_FAILS(kt_addr_parse(kt_str_n("h\0x", 3), 7, host, &port, &err), KT_BAD_VALUE);
    CHECK_FAILS(kt_addr_parse((struct kt_str){NULL, 0}, 7, host, &port, &err), KT_BAD_VALUE);
}

static void addresses_are_written_with_brackets_where_needed(void)
{
    char text[KT_ADDR_MAX], host[256];
    kt_addr_format("host", 80, text);
    CHECK_STR(text, "host:80");
    kt_addr_format("::1", 65535, text);
    CHECK_STR(text, "[::1]:65535");
    memset(host, 'a', 255);
    host[255] = '\0';
    kt_addr_format(host, 65535, text);
    CHECK_INT(strlen(text), 255 + 6);
}

static void loopback_is_recognised(void)
{
    CHECK(kt_host_is_loopback("localhost") && kt_host_is_loopback("LocalHost"));
    CHECK(kt_host_is_loopback("127.0.0.1") && kt_host_is_loopback("127.255.0.9"));
    CHECK(kt_host_is_loopback("::1") && kt_host_is_loopback("0:0:0:0:0:0:0:1"));
    CHECK(kt_host_is_loopback("::ffff:127.0.0.1"));
    CHECK(!kt_host_is_loopback("128.0.0.1") && !kt_host_is_loopback("::2"));
    CHECK(!kt_host_is_loopback("127.0.0.1.example") && !kt_host_is_loopback(""));
    CHECK(!kt_host_is_loopback("::ffff:10.0.0.1") && !kt_host_is_loopback("0.0.0.0"));
}

static void hosts_are_the_same_by_address(void)
{
    CHECK(kt_host_same("Some.Name", "some.name"));
    CHECK(kt_host_same("127.0.0.1", "::ffff:127.0.0.1"));
    CHECK(kt_host_same("::1", "0::1"));
    CHECK(!kt_host_same("127.0.0.1", "127.0.0.2"));
    CHECK(!kt_host_same("127.0.0.1", "no such name"));
    CHECK(kt_host_same("localhost", "127.0.0.1") || kt_host_same("localhost", "::1"));
}

static void names_resolve_to_literals(void)
{
    char literal[64] = "kept";
    CHECK_OK(kt_net_resolve("127.0.0.5", literal, &err));
    CHECK_STR(literal, "127.0.0.5");
    CHECK_OK(kt_net_resolve("::1", literal, &err));
    CHECK_STR(literal, "::1");
    CHECK_OK(kt_net_resolve("localhost", literal, &err));
    CHECK(kt_host_is_loopback(literal));
    CHECK_FAILS(kt_net_resolve("no such name", literal, &err), KT_IO);
    CHECK(strstr(err.message, "no such name"));
    CHECK(kt_host_is_loopback(literal));
}

static void networks_contain_their_addresses(void)
{
    static const struct {
        const char *list, *literal;
        bool inside;
    } rows[] = {{"10.0.0.0/8", "10.255.1.2", true},
                {"10.0.0.0/8", "11.0.0.0", false},
                {"10.0.0.1", "10.0.0.1", true},
                {"10.0.0.1", "10.0.0.2", false},
                {"192.168.4.0/22", "192.168.7.255", true},
                {"192.168.4.0/22", "192.168.8.0", false},
                {"192.168.5.77/22", "192.168.4.1", true},
                {"0.0.0.0/0", "1.2.3.4", true},
                {"0.0.0.0/0", "::1", false},
                {"::/0", "1.2.3.4", false},
                {"::/0", "fe80::1", true},
                {"fe80::/10", "febf::1", true},
                {"fe80::/10", "fec0::1", false},
                {"::1/128", "::1", true},
                {"::1", "::2", false},
                {" 10.0.0.0/8 ,\t::1/128 ", "::1", true},
                {"10.0.0.0/8", "::ffff:10.1.1.1", true},
                {"::ffff:10.0.0.0/104", "10.1.1.1", true},
                {"::ffff:10.0.0.1", "10.0.0.1", true},
                {"10.0.0.0/32", "10.0.0.0", true},
                {"10.0.0.0/31", "10.0.0.1", true},
                {"", "10.0.0.1", false},
                {"10.0.0.0/8", "host", false},
                {"10.0.0.0/8", "", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(kt_cidr_list_valid(kt_str(rows[i].list)));
        CHECK(kt_cidr_list_contains(kt_str(rows[i].list), rows[i].literal) == rows[i].inside);
    }
}

static void broken_network_lists_are_invalid(void)
{
    static const char *bad[] = {"10.0.0.0/33",  "::/129",      "10.0.0/8",      "host", "10.0.0.0/",
                                "10.0.0.0/-1",  "/8",          "10.0.0.1,,::1", ",",    "10.0.0.1,",
                                "10.0.0.0/8/9", "10.0.0.0 /8", "10.0.0.0/8 ::1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!kt_cidr_list_valid(kt_str(bad[i])));
    }
    CHECK(kt_cidr_list_valid(KT_STR("")) && kt_cidr_list_valid(KT_STR("  ")));
    CHECK(kt_cidr_list_valid((struct kt_str){NULL, 0}));
    CHECK(!kt_cidr_list_contains((struct kt_str){NULL, 0}, "::1"));
}

static void listening_needs_a_literal_and_a_free_port(void)
{
    kt_socket sock = KT_NO_SOCKET, second = KT_NO_SOCKET;
    uint16_t port = 0, other = 9;
    CHECK_FAILS(kt_net_listen("localhost", 0, 5, &sock, &port, &err), KT_BAD_VALUE);
    CHECK(sock == KT_NO_SOCKET);
    CHECK_OK(kt_net_listen("127.0.0.1", 0, 5, &sock, &port, &err));
    CHECK(port != 0);
    CHECK_FAILS(kt_net_listen("127.0.0.1", port, 5, &second, &other, &err), KT_BUSY);
    CHECK(second == KT_NO_SOCKET && other == 9);
    char addr[KT_ADDR_MAX];
    kt_addr_format("127.0.0.1", port, addr);
    CHECK(strstr(err.message, addr));
    CHECK_FAILS(kt_net_listen("192.0.2.1", 0, 5, &second, &other, &err), KT_IO);
    kt_net_close(&sock);
    CHECK(sock == KT_NO_SOCKET);
    kt_net_close(&sock);
    kt_fault_set(KT_FAULT_IO, 1, 0);
    enum kt_status status = kt_net_listen("127.0.0.1", 0, 5, &sock, &port, &err);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(status, KT_IO);
    CHECK(sock == KT_NO_SOCKET);
}

static void accepting_without_a_caller_times_out(void)
{
    kt_socket listener = KT_NO_SOCKET, sock = KT_NO_SOCKET;
    uint16_t port = 0, peer_port;
    char peer[64];
    CHECK_OK(kt_net_listen("127.0.0.1", 0, 5, &listener, &port, &err));
    int64_t start_ms = kt_now_mono_ms();
    CHECK_FAILS(kt_net_accept(listener, 30, &sock, peer, &peer_port, &err), KT_TIMEOUT);
    CHECK(kt_now_mono_ms() - start_ms >= 29);
    CHECK_FAILS(kt_net_accept(listener, 0, &sock, peer, &peer_port, &err), KT_TIMEOUT);
    CHECK_FAILS(kt_net_accept(listener, -5, &sock, peer, &peer_port, &err), KT_TIMEOUT);
    kt_fault_set(KT_FAULT_IO, 1, 0);
    enum kt_status status = kt_net_accept(listener, 1000, &sock, peer, &peer_port, &err);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(status, KT_IO);
    CHECK(sock == KT_NO_SOCKET);
    kt_net_close(&listener);
}

#ifndef _WIN32
static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void accepted_sockets_are_private_and_know_their_peer(void)
{
    kt_socket listener = KT_NO_SOCKET, sock = KT_NO_SOCKET;
    uint16_t port = 0, peer_port = 0;
    char peer[64];
    /* Through "::" where there is IPv6, so that the mapped address has to be unmapped. */
    if (kt_net_listen("::", 0, 5, &listener, &port, &err) != KT_OK) {
        CHECK_OK(kt_net_listen("127.0.0.1", 0, 5, &listener, &port, &err));
    }
    int fd = dial(port);
    CHECK(fd >= 0);
    CHECK_OK(kt_net_accept(listener, 20000, &sock, peer, &peer_port, &err));
    CHECK_STR(peer, "127.0.0.1");
    struct sockaddr_in self = {0};
    socklen_t len = sizeof self;
    CHECK(getsockname(fd, (struct sockaddr *)&self, &len) == 0);
    CHECK_INT(peer_port, ntohs(self.sin_port));
    CHECK(fcntl((int)sock, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl((int)sock, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl((int)listener, F_GETFD) & FD_CLOEXEC);
    int no_delay = 0;
    len = sizeof no_delay;
    CHECK(getsockopt((int)sock, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len) == 0 && no_delay);
    kt_net_close(&sock);
    kt_net_close(&listener);
    close(fd);
}

static void without_descriptors_accepting_is_busy(void)
{
    kt_socket listener = KT_NO_SOCKET, sock = KT_NO_SOCKET;
    uint16_t port = 0, peer_port;
    char peer[64];
    CHECK_OK(kt_net_listen("127.0.0.1", 0, 5, &listener, &port, &err));
    int fd = dial(port);
    CHECK(fd >= 0);
    struct rlimit old, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    enum kt_status status = kt_net_accept(listener, 20000, &sock, peer, &peer_port, &err);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_INT(status, KT_BUSY);
    CHECK_OK(kt_net_accept(listener, 20000, &sock, peer, &peer_port, &err));
    kt_net_close(&sock);
    kt_net_close(&listener);
    close(fd);
}

static void accepting_on_no_listener_is_an_io_error(void)
{
    kt_socket sock = KT_NO_SOCKET;
    char peer[64];
    uint16_t peer_port;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_FAILS(kt_net_accept(fd, 1000, &sock, peer, &peer_port, &err), KT_IO);
    close(fd);
    CHECK_FAILS(kt_net_accept(fd, 1000, &sock, peer, &peer_port, &err), KT_IO);
}
#endif

static const struct kt_test tests[] = {
    TEST(addresses_are_read_as_people_write_them),
    TEST(what_is_no_address_is_refused),
    TEST(addresses_are_written_with_brackets_where_needed),
    TEST(loopback_is_recognised),
    TEST(hosts_are_the_same_by_address),
    TEST(names_resolve_to_literals),
    TEST(networks_contain_their_addresses),
    TEST(broken_network_lists_are_invalid),
    TEST(listening_needs_a_literal_and_a_free_port),
    TEST(accepting_without_a_caller_times_out),
#ifndef _WIN32
    TEST(accepted_sockets_are_private_and_know_their_peer),
    TEST(without_descriptors_accepting_is_busy),
    TEST(accepting_on_no_listener_is_an_io_error),
#endif
};
KT_TEST_MAIN(tests)
