# shellcheck shell=bash
# The sample market, sent through the gateway into an empty cluster. An import that broke is
# repeated at the next start: importing the same again changes nothing.

api=/data/kamaitachi/api/data/v1
sample_mapping='subject=subject&name=name&status=status&category=category&time=date&period=period'
sample_mapping="$sample_mapping&declare_date=declare_date&topic==literal:stock_a_listing_pool"

records_now() {
    number_in "$(http_get "http://$(address_of "$(node_names | head -n 1)")${api#/data}/stats")" \
        total_records
}

# The header that lets a request in when [auth] KEY (write_token, admin_token) is set at NAME, in a
# file: an argument would show it to everybody in the list of processes.
auth_header_file() { # KEY NAME
    local variable=KAMAITACHI_AUTH_${1^^} token
    token=${!variable-}
    [ -n "$token" ] || token=$(ini_value "$(config_source "$2")" auth "$1")
    (
        umask 077
        printf '%s' "${token:+Authorization: Bearer $token}" >"$data_dir/auth.header"
    )
    printf '%s' "$data_dir/auth.header"
}

fill_with_sample() {
    local records answer header revision start=$SECONDS
    [ ! -e "$data_dir/sample.done" ] || return 0
    records=$(records_now)
    if [ "${records:-0}" -gt 0 ] && [ ! -e "$data_dir/sample.begun" ]; then
        say "the cluster holds ${records} records already; the sample data is left out"
        return 0
    fi
    : >"$data_dir/sample.begun"
    step "importing 5,000 companies with 16 quarters each through the gateway"
    header=$(auth_header_file write_token master)
    answer=$("$root/bin/sample_data" |
        curl --noproxy '*' -sS --max-time 300 -H 'Expect:' -H 'Content-Type: text/csv' \
            -H "@$header" --data-binary @- \
            "http://$(address_of gateway)$api/import?format=csv&$sample_mapping") ||
        fail_start gateway
    rm -f "$header"
    if [ "$(number_in "$answer" rejected)" != 0 ]; then
        warn "the sample import was answered: $(printf '%s' "$answer" | head -c 600)"
        fail_start gateway
    fi
    revision=$(number_in "$answer" revision)
    wait_until 60 "replicating the sample data" all_at_revision "$revision" || fail_start gateway
    say "    $(number_in "$answer" records) records on every node after $((SECONDS - start)) s"
    : >"$data_dir/sample.done"
}

print_try_lines() {
    local gateway
    gateway=http://$(address_of gateway)$api
    say
    say "Try:"
    say "  curl -s '$gateway/snapshot' -d '{\"topic\":\"stock_a_listing_pool\",\"ids\":\"operating_income,net_profit\",\"limit\":3}'"
    say "  curl -s '$gateway/period' -d '{\"subjects\":[\"33:00000009\",\"33:00000016\"],\"ids\":\"operating_income,total_profit\",\"limit\":2}'"
}
