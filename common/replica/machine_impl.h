/* machine_impl.h - what the machine's files share.
 *
 * machine.c         step, configuration, transactions, stepping down, ending
 * machine_elect.c   who campaigns, and who begins without a configuration
 * machine_lead.c    fetches as acknowledgements, commit, in-sync, handover
 * machine_follow.c  fetching, rejoin, full copy, promises
 *
 * Threads, Owns, Fails: as machine.h.
 */
#ifndef KT_REPLICA_MACHINE_IMPL_H
#define KT_REPLICA_MACHINE_IMPL_H

#include "replica/fetch.h"
#include "replica/machine.h"
#include "replica/machine_plants.h"

#include <string.h>

#define KT_M_RESEND_MS 200

struct kt_m_action *kt_m_act(struct kt_machine *machine, enum kt_m_action_kind kind);
void kt_m_set(char *dest, size_t size, const char *text);
void kt_m_wait_for(struct kt_machine *machine, const char *fmt, ...) KT_PRINTF(2, 3);
/* Of two random ids the first characters differ mostly. */
static inline bool kt_m_same(const char *a, const char *b)
{
    return a[0] == b[0] && strcmp(a, b) == 0;
}
int64_t kt_m_ttl_ms(const struct kt_machine *machine);
bool kt_m_set_has(const struct kt_id_set *set, const char *id);
/* A data node's entry in the view; NULL = none. */
const struct kt_service *kt_m_service_of(const struct kt_machine *machine, const char *id);
bool kt_m_is_newer(uint64_t epoch_a, uint64_t version_a, uint64_t epoch_b, uint64_t version_b);
uint64_t kt_m_end_epoch(const struct kt_machine_log *log);
/* This process's own entry, under its current lease; NULL = it is not in the view. */
const struct kt_service *kt_m_own_entry(const struct kt_machine *machine);
/* Is the view's configuration the kept one? */
bool kt_m_config_is_kept(const struct kt_machine *machine);

/* machine.c */
void kt_m_send_txn(struct kt_machine *machine, bool is_campaign); /* machine->txn.config is set */
void kt_m_look_at_txn(struct kt_machine *machine); /* settles it by the view, or sends again */
void kt_m_step_down(struct kt_machine *machine, const char *why);
void kt_m_hand_over(struct kt_machine *machine, const char *to, const char *why);
void kt_m_end(struct kt_machine *machine, const char *why);
void kt_m_delete_leader(struct kt_machine *machine);
void kt_m_finish_stop(struct kt_machine *machine);

/* machine_elect.c */
void kt_m_put_member(struct kt_cluster_config *config, const struct kt_service *service);
void kt_m_note_quiet(struct kt_machine *machine);
void kt_m_consider_campaign(struct kt_machine *machine);

/* machine_lead.c */
void kt_m_decide_leading(struct kt_machine *machine);
void kt_m_serve_fetch(struct kt_machine *machine, const struct kt_m_fetch *fetch);
void kt_m_serve_copy(struct kt_machine *machine, const struct kt_m_fetch *fetch);
/* Of `to` alone; NULL = of all. */
void kt_m_release_held(struct kt_machine *machine, const char *to);

/* machine_follow.c */
/* Neither leads, nor ended, nor asked to stop. */
void kt_m_decide_following(struct kt_machine *machine);
void kt_m_take_answer(struct kt_machine *machine, const struct kt_m_answer *answer);
void kt_m_take_copy(struct kt_machine *machine, uint64_t request, uint64_t epoch);
void kt_m_copied(struct kt_machine *machine);
void kt_m_take_release(struct kt_machine *machine, uint64_t epoch);

#endif
