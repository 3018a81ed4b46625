/* SPDX-License-Identifier: MIT */
/* Single rules of the machine, step by step; tests/sim shows them together. Numbers as in
 * docs/REPLICATION.md. */
#include "kt_test.h"
#include "replica/machine.h"

#define TTL_MS 5000
#define LAG_MS 1000

static struct kt_machine machine;
static struct kt_coord_view view;
static struct kt_service services[3];
static struct kt_machine_log log_facts;
static struct kt_epoch vector[4];
static int64_t now_ms, lease_end_ms;
static uint64_t requests;
static bool receiving, batch_comes;

static void count_up(void *ctx, char dest[KT_ID_LEN + 1])
{
    static unsigned next = 0x1000;
    (void)ctx;
    snprintf(dest, KT_ID_LEN + 1, "%016x", next++);
}

static void set_id(char dest[KT_ID_LEN + 1], char letter)
{
    memset(dest, letter, KT_ID_LEN);
    dest[KT_ID_LEN] = '\0';
}

static void step(const struct kt_m_event *event)
{
    struct kt_machine_facts facts = {now_ms,     &view,     lease_end_ms,
                                     &log_facts, receiving, batch_comes};
    kt_machine_step(&machine, event, &facts);
}

static void tick(int64_t passed_ms)
{
    struct kt_m_event event = {.kind = KT_M_FACTS};
    now_ms += passed_ms;
    lease_end_ms = now_ms + TTL_MS;
    step(&event);
}

static void tick_for(int64_t passed_ms)
{
    for (int64_t done = 0; done < passed_ms; done += 50) {
        tick(50);
    }
}

static const struct kt_m_action *find(enum kt_m_action_kind kind)
{
    for (size_t i = 0; i < machine.action_count; i++) {
        if (machine.actions[i].kind == kind) {
            return &machine.actions[i];
        }
    }
    return NULL;
}

static struct kt_machine_disk disk;
static struct kt_machine_options options;

/* Node a of three that are all in sync; nobody leads. */
static void begin(uint32_t min_in_sync, bool bound_by_nothing)
{
    options = (struct kt_machine_options){.electable = true,
                                          .ttl_s = TTL_MS / 1000,
                                          .max_in_sync = 3,
                                          .lag_timeout_ms = LAG_MS,
                                          .tick_ms = 50,
                                          .random_id = count_up};
    set_id(options.id, 'a');
    kt_str_copy(options.addr, sizeof(options.addr), KT_STR("a:1"));
    memset(&disk, 0, sizeof(disk));
    memset(&view, 0, sizeof(view));
    memset(services, 0, sizeof(services));
    memset(&log_facts, 0, sizeof(log_facts));
    log_facts.first_seq = 1;
    log_facts.vector = vector;
    set_id(disk.cluster, '1');
    disk.bound_by_nothing = bound_by_nothing;
    disk.epoch = 1;
    struct kt_cluster_config *kept = &disk.kept;
    set_id(kept->cluster, '1');
    set_id(kept->nonce, '2');
    kept->version = kept->epoch = 1;
    kept->min_in_sync = min_in_sync;
    kept->ttl_s = TTL_MS / 1000;
    for (size_t i = 0; i < 3; i++) {
        struct kt_service *service = &services[i];
        char letter = (char)('a' + i);
        set_id(service->id, letter);
        set_id(service->cluster, '1');
        snprintf(service->addr, sizeof(service->addr), "%c:1", letter);
        service->electable = true;
        service->state = KT_STATE_WHOLE;
        set_id(kept->in_sync[i], letter);
        set_id(kept->members[i].id, letter);
        memcpy(kept->members[i].addr, service->addr, sizeof(service->addr));
        kept->members[i].electable = true;
    }
    kept->in_sync_count = kept->member_count = 3;
    view.complete = view.reachable = view.own_key_present = true;
    view.services = services;
    view.service_count = 3;
    view.own_lease = 7;
    view.config.present = view.config.valid = true;
    view.config.value = *kept;
    now_ms = 100000;
    requests = 0;
    receiving = false;
    kt_machine_init(&machine, &options, &disk, 0, now_ms);
}

static void win(void)
{
    struct kt_m_event done = {.kind = KT_M_TXN_OUTCOME, .outcome = KT_TXN_DONE};
    tick(50);
    CHECK(find(KT_M_TXN));
    step(&done);
    CHECK_INT(machine.role, KT_M_LEADS);
    CHECK(find(KT_M_LEAD));
    view.config.value = machine.disk.kept;
    view.leader.present = view.leader.mine = true;
    view.leader.epoch = machine.disk.epoch;
    vector[0].epoch = machine.disk.epoch;
    vector[0].first_seq = 1;
    memcpy(vector[0].epoch_id, machine.disk.kept.epoch_id, sizeof(vector[0].epoch_id));
    log_facts.vector_count = 1;
    log_facts.end_seq = log_facts.synced_seq = 1;
    tick(1);
}

static void fetch_with(char letter, uint64_t after, const char *epoch_id)
{
    struct kt_m_fetch asked = {
        .epoch = machine.disk.epoch, .after = after, .commit = machine.commit_seq, .wait_ms = 400};
    struct kt_m_event event = {.kind = KT_M_FETCH_CAME, .fetch = &asked};
    set_id(asked.cluster, '1');
    set_id(asked.node, letter);
    set_id(asked.session, letter);
    asked.request = ++requests;
    if (after > 0) {
        asked.after_id = vector[0];
        memcpy(asked.after_id.epoch_id, epoch_id, sizeof(asked.after_id.epoch_id));
    }
    step(&event);
}

static void fetch(char letter, uint64_t after)
{
    fetch_with(letter, after, vector[0].epoch_id);
}

static void an_entry_waits_for_the_whole_union(void)
{
    begin(1, true);
    win();
    fetch('b', 1);
    CHECK(!find(KT_M_COMMIT));
    fetch('c', 1);
    CHECK(find(KT_M_COMMIT));
    CHECK_INT(machine.commit_seq, 1);
}

/* An answer that would only say how far is committed waits for the entries that come, no longer
 * than its fetch. */
static void a_commit_position_goes_with_the_entries_that_follow(void)
{
    begin(1, true);
    win();
    batch_comes = true;
    fetch('b', 1);
    fetch('c', 1);
    CHECK_INT(machine.commit_seq, 1);
    CHECK(!find(KT_M_ANSWER));
    batch_comes = false; /* it has its number */
    log_facts.end_seq = 2;
    tick(1);
    CHECK(find(KT_M_ANSWER));
    CHECK_INT(find(KT_M_ANSWER)->answer.kind, KT_M_ANSWER_ENTRIES);
    CHECK_INT(find(KT_M_ANSWER)->answer.last_seq, 2);
    CHECK_INT(find(KT_M_ANSWER)->answer.commit, 1);
    log_facts.synced_seq = 2;
    fetch('b', 2);
    batch_comes = true;
    fetch('c', 2);
    CHECK_INT(machine.commit_seq, 2);
    CHECK(!find(KT_M_ANSWER));
    batch_comes = false; /* nothing came of it */
    tick(1);
    CHECK(find(KT_M_ANSWER));
    CHECK_INT(find(KT_M_ANSWER)->answer.commit, 2);
    fetch('b', 2);
    fetch('c', 2);
    batch_comes = true;
    tick(399);
    CHECK(!find(KT_M_ANSWER));
    tick(2);
    CHECK(find(KT_M_ANSWER)); /* at the end of its time */
    batch_comes = false;
}

static void an_entry_of_another_epoch_id_acknowledges_nothing(void)
{
    begin(1, true);
    win();
    fetch('c', 1);
    fetch_with('b', 1, "ffffffffffffffff");
    CHECK(!find(KT_M_COMMIT));
    CHECK(find(KT_M_ANSWER));
    CHECK_INT(find(KT_M_ANSWER)->answer.kind, KT_M_ANSWER_DIFFERS);
    fetch('b', 1);
    CHECK_INT(machine.commit_seq, 1);
}

static void a_growth_is_kept_and_its_member_needed_from_before_the_send(void)
{
    begin(1, true);
    machine.disk.kept.in_sync_count = view.config.value.in_sync_count = 1;
    win();
    CHECK_INT(machine.commit_seq, 1);
    fetch('b', 1);
    CHECK(machine.txn.active);
    CHECK_INT(machine.txn.config.in_sync_count, 2);
    CHECK_INT(machine.disk.growth.count, 1);
    CHECK(find(KT_M_KEEP) && find(KT_M_TXN));
    CHECK(find(KT_M_KEEP) < find(KT_M_TXN));
    log_facts.end_seq = log_facts.synced_seq = 2;
    tick(50);
    CHECK_INT(machine.commit_seq, 1);
    fetch('b', 2);
    CHECK_INT(machine.commit_seq, 2);
}

static void who_is_silent_is_removed_and_needed_until_that_is_settled(void)
{
    begin(1, true);
    win();
    for (int i = 0; i < 24; i++) {
        tick(50);
        fetch('b', 1);
    }
    CHECK(machine.txn.active);
    CHECK_INT(machine.txn.config.in_sync_count, 2);
    CHECK_INT(machine.commit_seq, 0);
    view.config.value = machine.txn.config;
    tick(50);
    CHECK(!machine.txn.active);
    CHECK_INT(machine.commit_seq, 1);
}

static void nobody_is_removed_below_min_in_sync_and_writes_are_refused(void)
{
    begin(3, true);
    win();
    fetch('b', 1);
    fetch('c', 1);
    log_facts.applied_seq = machine.commit_seq;
    struct kt_machine_facts facts = {now_ms,     &view,     lease_end_ms,
                                     &log_facts, receiving, batch_comes};
    CHECK_INT(kt_machine_may_write(&machine, &facts), KT_OK);
    tick_for(LAG_MS + 200);
    CHECK(!machine.txn.active);
    facts.now_ms = now_ms;
    facts.lease_end_ms = lease_end_ms;
    CHECK_INT(kt_machine_may_write(&machine, &facts), KT_UNAVAILABLE);
}

static void the_own_pause_is_nobodys_silence(void)
{
    begin(1, true);
    win();
    fetch('b', 1);
    fetch('c', 1);
    tick(3 * LAG_MS);
    CHECK(!machine.txn.active);
    tick_for(LAG_MS + 200);
    CHECK(machine.txn.active);
}

static void a_start_binds_for_a_ttl_unless_bound_by_nothing(void)
{
    begin(1, false);
    tick_for(TTL_MS - 100);
    CHECK(!find(KT_M_TXN));
    tick_for(200);
    CHECK(machine.txn.active);

    begin(1, true);
    tick(1);
    CHECK(machine.txn.active);
}

static void a_release_ends_the_promise_and_an_overtaken_answer_does_not_renew_it(void)
{
    struct kt_m_event release = {.kind = KT_M_RELEASE_CAME, .epoch = 1};
    struct kt_m_answer entries = {.kind = KT_M_ANSWER_ENTRIES, .epoch = 1, .first_seq = 1};
    struct kt_m_event answer = {.kind = KT_M_ANSWER_CAME, .answer = &entries};
    begin(1, false);
    view.leader.present = true;
    set_id(view.leader.id, 'b');
    view.leader.epoch = 1;
    tick(50);
    CHECK(find(KT_M_FETCH));
    entries.request = find(KT_M_FETCH)->fetch.request;
    step(&release);
    step(&answer);
    view.leader.present = false;
    tick(50);
    CHECK(machine.txn.active);
}

static void a_refused_or_lost_txn_is_sent_again_and_settled_by_a_view_alone(void)
{
    struct kt_m_event refused = {.kind = KT_M_TXN_OUTCOME, .outcome = KT_TXN_REFUSED};
    char nonce[KT_ID_LEN + 1];
    begin(1, true);
    tick(50);
    CHECK(machine.txn.active);
    memcpy(nonce, machine.txn.config.nonce, sizeof(nonce));
    step(&refused);
    CHECK_INT(machine.role, KT_M_CAMPAIGNS);
    tick_for(250);
    CHECK(machine.txn.active);
    CHECK_STR(machine.txn.config.nonce, nonce);
    set_id(view.config.value.nonce, '9'); /* another's */
    view.config.value.version = view.config.value.epoch = 2;
    tick(50);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK(!machine.txn.active);
}

static void a_leader_steps_down_when_its_lease_clock_ends(void)
{
    struct kt_m_event facts = {.kind = KT_M_FACTS};
    begin(1, true);
    win();
    lease_end_ms = now_ms;
    step(&facts);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK(find(KT_M_STEP_DOWN));
    CHECK(find(KT_M_RELEASE));
}

static void a_stop_withdraws_hands_over_and_is_bound_by_nothing(void)
{
    struct kt_m_event stop = {.kind = KT_M_STOP_ASKED};
    begin(1, true);
    win();
    fetch('b', 1);
    fetch('c', 1);
    log_facts.applied_seq = machine.commit_seq;
    step(&stop);
    CHECK(find(KT_M_WITHDRAW));
    CHECK(!find(KT_M_STEP_DOWN));
    view.own_key_present = false;
    tick(10); /* nobody would learn of it: no fetch is held */
    CHECK(!find(KT_M_STEP_DOWN));
    fetch('b', 1);
    fetch('c', 1);
    CHECK(find(KT_M_STEP_DOWN));
    CHECK(find(KT_M_DELETE_LEADER));
    CHECK(find(KT_M_DEREGISTER));
    CHECK(machine.disk.bound_by_nothing);
}

static void init(void)
{
    kt_machine_init(&machine, &options, &disk, 0, now_ms);
}

/* Etcd, or what stands for it, knows nothing yet but this node. */
static void forget_etcd(void)
{
    view.config.present = view.leader.present = false;
    view.service_count = 1;
}

static void standalone_leads_itself_at_once_again_and_again(void)
{
    begin(2, false);
    forget_etcd();
    memset(&disk, 0, sizeof(disk));
    options.standalone = true;
    options.electable = false;
    options.expect = 3;
    options.min_in_sync = 2;
    init();
    services[0].state = KT_STATE_EMPTY;
    services[0].cluster[0] = '\0';
    win();
    CHECK(machine.disk.standalone);
    CHECK_INT(machine.disk.kept.in_sync_count, 1);
    CHECK_INT(machine.disk.kept.min_in_sync, 1);
    CHECK_INT(machine.commit_seq, 1);

    /* A restart: what stood for etcd is empty again, and a promise is not waited for. */
    disk = machine.disk;
    forget_etcd();
    init();
    win();
    CHECK_INT(machine.disk.epoch, 2);
    CHECK_STR(machine.disk.cluster, disk.cluster);
}

/* A standalone database of cluster 1, with one entry, now started with etcd. */
static void begin_with_standalone_database(void)
{
    begin(1, true);
    forget_etcd();
    disk.standalone = true;
    disk.kept.in_sync_count = disk.kept.member_count = 1;
    options.min_in_sync = 2;
    vector[0] = (struct kt_epoch){.epoch = 1, .first_seq = 1};
    log_facts.vector_count = 1;
    log_facts.end_seq = log_facts.synced_seq = log_facts.applied_seq = 1;
    services[0].kept.version = services[0].kept.epoch = 1;
    services[0].end_epoch = services[0].end_seq = 1;
    init();
}

static void a_standalone_database_may_found_a_cluster(void)
{
    begin_with_standalone_database();
    tick_for(TTL_MS);
    CHECK(!machine.txn.active);
    tick_for(TTL_MS / 5);
    CHECK(machine.txn.active);
    CHECK_INT(machine.txn.config.in_sync_count, 1);
    CHECK_INT(machine.txn.config.min_in_sync, 2);
    CHECK_STR(machine.txn.config.cluster, disk.cluster);
    CHECK(machine.disk.standalone);
    step(&(struct kt_m_event){.kind = KT_M_TXN_OUTCOME, .outcome = KT_TXN_DONE});
    CHECK(!machine.disk.standalone);
}

static void a_standalone_database_never_joins_a_cluster(void)
{
    begin_with_standalone_database();
    view.service_count = 2; /* a node whose cluster may only have lost its etcd */
    set_id(services[1].cluster, '7');
    tick_for(3 * TTL_MS);
    CHECK(!machine.txn.active);
    view.config.present = true;
    set_id(view.config.value.cluster, '7');
    tick(50);
    CHECK(find(KT_M_STOPPED));
    CHECK(strstr(machine.ended_why, "empty database"));
    CHECK(machine.disk.standalone);
}

static void follow_b(void)
{
    begin(1, false);
    view.leader.present = true;
    set_id(view.leader.id, 'b');
    kt_str_copy(view.leader.addr, sizeof(view.leader.addr), KT_STR("b:1"));
    view.leader.epoch = 1;
    tick(50);
    CHECK(find(KT_M_FETCH));
}

/* What it is told who fetches now. */
static int answer_to(char who, uint64_t after)
{
    fetch(who, after);
    return find(KT_M_ANSWER) ? (int)find(KT_M_ANSWER)->answer.kind : -1;
}

static void a_handover_with_a_target_releases_the_target_alone(void)
{
    struct kt_m_event event = {.kind = KT_M_HANDOVER_ASKED};
    size_t answers = 0;
    char target[KT_ID_LEN + 1];
    set_id(target, 'b');
    event.to = target;
    begin(1, true);
    win();
    fetch('b', 1);
    fetch('c', 1);
    log_facts.applied_seq = machine.commit_seq;
    fetch('c', 1); /* both are held */
    fetch('b', 1);
    step(&event);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK(find(KT_M_DELETE_LEADER));
    CHECK(find(KT_M_CAMPAIGN_NOW));
    CHECK_STR(find(KT_M_CAMPAIGN_NOW)->to, target);
    CHECK(!find(KT_M_RELEASE));
    for (size_t i = 0; i < machine.action_count; i++) {
        if (machine.actions[i].kind == KT_M_ANSWER) {
            answers++;
            CHECK_INT(machine.actions[i].answer.kind, KT_M_ANSWER_RELEASED);
            CHECK_STR(machine.actions[i].to, target);
        }
    }
    CHECK_INT(answers, 1);
    /* Who comes again meanwhile must not be quicker than the target. */
    CHECK_INT(answer_to('c', 1), KT_M_ANSWER_REFUSED);
    CHECK_INT(answer_to('b', 1), KT_M_ANSWER_RELEASED);
    tick((int64_t)machine.options.lag_timeout_ms + 1);
    CHECK_INT(answer_to('c', 1), KT_M_ANSWER_RELEASED);
}

static void a_handover_to_who_has_not_all_is_given_up(void)
{
    struct kt_m_event event = {.kind = KT_M_HANDOVER_ASKED};
    char target[KT_ID_LEN + 1];
    set_id(target, 'b');
    event.to = target;
    begin(1, true);
    win();
    fetch('b', 1);
    fetch('c', 1);
    log_facts.end_seq = log_facts.synced_seq = 2;
    step(&event);
    for (int i = 0; i < 24; i++) {
        tick(50);
        fetch('b', 1);
        fetch('c', 2);
    }
    CHECK_INT(machine.role, KT_M_LEADS);
    CHECK(!machine.draining);
}

static void who_is_told_to_campaign_does_not_wait_for_higher_priorities(void)
{
    struct kt_m_event event = {.kind = KT_M_CAMPAIGN_CAME, .epoch = 1};
    follow_b();
    services[1].priority = services[2].priority = 9;
    machine.campaign_after_ms = machine.facts.now_ms + LAG_MS; /* it has handed over itself */
    step(&event);
    tick(50); /* the key of b is still seen */
    CHECK(!machine.txn.active);
    view.leader.present = false;
    tick(1);
    CHECK(machine.txn.active);
}

static void what_comes_in_slowly_is_not_asked_for_again(void)
{
    follow_b();
    receiving = true;
    tick_for(10 * LAG_MS);
    CHECK_INT(machine.request, 1);
    receiving = false;
    tick_for(LAG_MS + 200);
    CHECK_INT(machine.request, 2);
}

static void a_call_that_fails_is_repeated_soon(void)
{
    struct kt_m_answer failed = {.kind = KT_M_ANSWER_REFUSED, .epoch = 1};
    struct kt_m_event event = {.kind = KT_M_ANSWER_CAME, .answer = &failed};
    follow_b();
    failed.request = machine.request;
    step(&event);
    CHECK(!find(KT_M_FETCH));
    tick(100);
    CHECK(find(KT_M_FETCH));

    failed.kind = KT_M_ANSWER_COPY;
    failed.request = machine.request;
    step(&event);
    CHECK(find(KT_M_ASK_COPY));
    failed.kind = KT_M_ANSWER_REFUSED;
    failed.request = machine.request;
    step(&event);
    tick(100);
    CHECK(find(KT_M_ASK_COPY));
    CHECK_INT(machine.copy_request, machine.request);
}

static void a_start_over_a_copied_log_keeps_its_epoch(void)
{
    begin(1, false);
    vector[0] = (struct kt_epoch){.epoch = 4, .first_seq = 1};
    log_facts.vector_count = 1;
    log_facts.end_seq = log_facts.synced_seq = log_facts.applied_seq = 7;
    kt_machine_init(&machine, &options, &disk, 7, now_ms);
    tick(1);
    CHECK_INT(machine.disk.epoch, 4);
    CHECK_INT(machine.actions[0].kind, KT_M_KEEP);
    CHECK_INT(machine.commit_seq, 7);
}

/* The leader's epoch is 1, this node keeps 5. */
static void begin_with_later_epoch(bool rejoin)
{
    follow_b();
    disk.epoch = disk.kept.epoch = 5;
    options.rejoin = rejoin;
    init();
    tick_for(2 * TTL_MS - 100);
    CHECK_INT(machine.disk.epoch, 5);
    tick_for(200);
}

static void a_later_epoch_than_the_leaders_ends_a_node_or_is_put_aside_for_a_copy(void)
{
    begin_with_later_epoch(false);
    CHECK_INT(machine.role, KT_M_ENDED);
    CHECK(strstr(machine.ended_why, "-rejoin"));

    begin_with_later_epoch(true);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK_INT(machine.disk.epoch, 1);
    CHECK(machine.disk.half_copy);
    CHECK(machine.copy_request);
}

/* Killed between the mark and the swap: its log still ends in the epoch that was put aside. */
static void a_rejoin_goes_on_after_a_restart(void)
{
    begin_with_later_epoch(true);
    disk = machine.disk;
    vector[0] = (struct kt_epoch){.epoch = 5, .first_seq = 1};
    log_facts.vector_count = 1;
    log_facts.end_seq = log_facts.synced_seq = log_facts.applied_seq = 7;
    kt_machine_init(&machine, &options, &disk, 7, now_ms);
    tick_for(200);
    CHECK_INT(machine.disk.epoch, 1);
    CHECK(machine.disk.half_copy);
    CHECK(machine.copy_request);
}

static void who_is_missing_and_who_would_lead_is_told(void)
{
    char missing[200], best[KT_ADDR_MAX];
    begin(1, false);
    view.config.present = false;
    for (size_t i = 0; i < 3; i++) {
        services[i].kept.version = services[i].kept.epoch = 1;
        services[i].kept.in_sync_count = 3;
        memcpy(services[i].kept.in_sync, disk.kept.in_sync, sizeof(disk.kept.in_sync));
    }
    services[1].end_epoch = 1;
    services[1].end_seq = 9;
    kt_machine_recovery(&machine, &view, missing, sizeof(missing), best);
    CHECK_STR(missing, "");
    CHECK_STR(best, "b:1");
    view.service_count = 2;
    kt_machine_recovery(&machine, &view, missing, sizeof(missing), best);
    CHECK_STR(missing, "cccccccccccccccc (c:1)");
    services[1].state = KT_STATE_COPYING;
    kt_machine_recovery(&machine, &view, missing, sizeof(missing), best);
    CHECK_STR(best, "a:1");
}

static void a_loss_is_accepted_for_one_time_without_a_leader(void)
{
    struct kt_m_event recover = {.kind = KT_M_RECOVER_ASKED};
    begin(1, true);
    disk.kept.in_sync_count = view.config.value.in_sync_count = 1;
    set_id(disk.kept.in_sync[0], 'c');
    view.config.value = disk.kept;
    services[0].kept.version = services[0].kept.epoch = 1;
    view.service_count = 2;
    init();
    tick_for(2 * TTL_MS);
    CHECK(!machine.txn.active);
    step(&recover);
    view.leader.present = true; /* c is back for a moment */
    set_id(view.leader.id, 'c');
    tick(50);
    view.leader.present = false;
    tick_for(2 * TTL_MS);
    CHECK(!machine.txn.active);
    step(&recover);
    tick_for(TTL_MS);
    CHECK(!machine.txn.active);
    tick_for(TTL_MS / 5);
    CHECK(machine.txn.active);
    CHECK_INT(machine.txn.config.in_sync_count, 1);
    CHECK_STR(machine.txn.config.in_sync[0], options.id);
}

static void a_growth_that_one_node_keeps_is_waited_for_by_all(void)
{
    char missing[200], best[KT_ADDR_MAX];
    begin(1, true);
    view.config.present = false;
    view.service_count = 2; /* c is away; b, which led, had sent that it comes in sync */
    for (size_t i = 0; i < 2; i++) {
        services[i].kept.version = services[i].kept.epoch = 1;
        services[i].kept.in_sync_count = 2;
        memcpy(services[i].kept.in_sync, disk.kept.in_sync, sizeof(disk.kept.in_sync));
    }
    services[1].kept.growth_count = 1;
    set_id(services[1].kept.growth[0], 'c');
    kt_machine_recovery(&machine, &view, missing, sizeof(missing), best);
    CHECK_STR(missing, "cccccccccccccccc (c:1)");
    tick_for(2 * TTL_MS);
    CHECK(!machine.txn.active);
}

/* Two restarts, and a fetch of the first process that comes only then. */
static void a_late_fetch_of_an_earlier_process_silences_nobody_for_good(void)
{
    begin(1, true);
    win();
    fetch('b', 1);
    struct kt_machine_peer *b = &machine.peers[machine.peer_count - 1];
    CHECK(b->id[0] == 'b');
    set_id(b->older_session, 'b');
    set_id(b->session, '9');
    b->request = 100;
    fetch('b', 1);
    CHECK_INT(b->request, 100); /* late, as far as anybody knows */
    tick_for(LAG_MS + 100);
    fetch('b', 1);
    CHECK(b->request != 100);
}

static void a_fault_of_the_disk_forgets_what_was_under_way(void)
{
    struct kt_m_event fault = {.kind = KT_M_LOG_FAULT, .why = "full"};
    follow_b();
    machine.cutting = machine.swapping = true;
    machine.appending_to = 3;
    step(&fault);
    tick_for(700);
    CHECK_INT(machine.request, 2);
}

static void add_twin(int64_t create_revision)
{
    set_id(services[2].id, 'a');
    kt_str_copy(services[2].addr, sizeof(services[2].addr), KT_STR("A:1"));
    services[0].create_revision = 5;
    services[2].create_revision = create_revision;
}

static void of_two_nodes_with_one_id_the_later_one_ends(void)
{
    follow_b();
    add_twin(6);
    uint64_t before = machine.request;
    tick_for(3 * TTL_MS);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK(machine.request > before + 5);

    view.own_key_present = false; /* its entry has run out: it is no longer the first */
    before = machine.request;
    tick_for(TTL_MS);
    CHECK_INT(machine.request, before);

    follow_b();
    init();
    add_twin(4);
    before = machine.request;
    tick_for(2 * TTL_MS);
    view.reachable = false; /* while etcd is away the other entry can't vanish */
    tick_for(2 * TTL_MS);
    view.reachable = true;
    tick_for(2 * TTL_MS);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK_INT(machine.request, before);
    CHECK(strstr(machine.waiting_for, "A:1"));
    tick_for(200);
    CHECK_INT(machine.role, KT_M_ENDED);
    CHECK(strstr(machine.ended_why, "empty one"));
}

/* Its lease was lost, and no view showed its new entry before the copy's stood beside it: then
 * neither had been seen alone, and both ended. */
static void the_first_of_two_goes_on_though_it_never_saw_itself_alone(void)
{
    follow_b();
    add_twin(6);
    init();
    tick_for(3 * TTL_MS);
    CHECK_INT(machine.role, KT_M_FOLLOWS);
    CHECK(machine.request > 5);
    CHECK(!strstr(machine.waiting_for, "A:1"));
}

static void who_waits_for_a_leader_says_what_is_missing(void)
{
    begin(1, true);
    options.electable = false;
    init();
    tick(1);
    CHECK_STR(machine.waiting_for, "a leader: this node is not electable");

    begin(1, true);
    forget_etcd();
    memset(&disk, 0, sizeof(disk));
    options.expect = 1;
    services[0].state = KT_STATE_EMPTY;
    services[0].cluster[0] = '\0';
    init();
    tick(1);
    CHECK_STR(machine.waiting_for, "a time in which nobody leads");
    options.expect = 2;
    init();
    tick(1);
    CHECK(strstr(machine.waiting_for, "2 data nodes to register"));
}

static const struct kt_test tests[] = {
    TEST(an_entry_waits_for_the_whole_union),
    TEST(a_commit_position_goes_with_the_entries_that_follow),
    TEST(an_entry_of_another_epoch_id_acknowledges_nothing),
    TEST(a_growth_is_kept_and_its_member_needed_from_before_the_send),
    TEST(who_is_silent_is_removed_and_needed_until_that_is_settled),
    TEST(nobody_is_removed_below_min_in_sync_and_writes_are_refused),
    TEST(the_own_pause_is_nobodys_silence),
    TEST(a_start_binds_for_a_ttl_unless_bound_by_nothing),
    TEST(a_release_ends_the_promise_and_an_overtaken_answer_does_not_renew_it),
    TEST(a_refused_or_lost_txn_is_sent_again_and_settled_by_a_view_alone),
    TEST(a_leader_steps_down_when_its_lease_clock_ends),
    TEST(a_stop_withdraws_hands_over_and_is_bound_by_nothing),
    TEST(standalone_leads_itself_at_once_again_and_again),
    TEST(a_standalone_database_may_found_a_cluster),
    TEST(a_standalone_database_never_joins_a_cluster),
    TEST(a_handover_with_a_target_releases_the_target_alone),
    TEST(a_handover_to_who_has_not_all_is_given_up),
    TEST(who_is_told_to_campaign_does_not_wait_for_higher_priorities),
    TEST(what_comes_in_slowly_is_not_asked_for_again),
    TEST(a_call_that_fails_is_repeated_soon),
    TEST(a_start_over_a_copied_log_keeps_its_epoch),
    TEST(a_later_epoch_than_the_leaders_ends_a_node_or_is_put_aside_for_a_copy),
    TEST(a_rejoin_goes_on_after_a_restart),
    TEST(who_is_missing_and_who_would_lead_is_told),
    TEST(a_loss_is_accepted_for_one_time_without_a_leader),
    TEST(a_growth_that_one_node_keeps_is_waited_for_by_all),
    TEST(a_late_fetch_of_an_earlier_process_silences_nobody_for_good),
    TEST(a_fault_of_the_disk_forgets_what_was_under_way),
    TEST(of_two_nodes_with_one_id_the_later_one_ends),
    TEST(the_first_of_two_goes_on_though_it_never_saw_itself_alone),
    TEST(who_waits_for_a_leader_says_what_is_missing),
};
KT_TEST_MAIN(tests)
