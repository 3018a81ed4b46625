/* machine_plants.h - known bugs of this protocol, for the simulator to find.
 *
 * Why in the sources: a simulator that finds nothing shows nothing. Each bug is one rule left out
 * at the place where it stands. Compiled in only by tests/sim (KT_SIM_PLANTS); in the library
 * KT_PLANTED is the constant false.
 *
 * Threads: kt_plant is set once, before anything runs.
 * Owns:    nothing.
 * Fails:   never.
 */
#ifndef KT_REPLICA_MACHINE_PLANTS_H
#define KT_REPLICA_MACHINE_PLANTS_H

#ifdef KT_SIM_PLANTS
#define KT_PLANTS(X)                                                                               \
    X(clock_from_reply)                                                                            \
    X(clock_from_win)                                                                              \
    X(no_demotion_on_timeout)                                                                      \
    X(leader_key_put_again)                                                                        \
    X(no_promise)                                                                                  \
    X(promise_forgotten_at_restart)                                                                \
    X(candidate_takes_answers)                                                                     \
    X(campaign_without_config_compare)                                                             \
    X(compare_without_value)                                                                       \
    X(timeout_taken_as_won)                                                                        \
    X(timeout_taken_as_lost)                                                                       \
    X(settled_by_old_value)                                                                        \
    X(nonce_ignored)                                                                               \
    X(union_after_answer)                                                                          \
    X(union_not_kept)                                                                              \
    X(commit_without_one)                                                                          \
    X(ack_before_persist)                                                                          \
    X(ack_by_seq_only)                                                                             \
    X(commit_past_verified)                                                                        \
    X(answer_not_tied)                                                                             \
    X(other_epochs_accepted)                                                                       \
    X(growth_before_caught_up)                                                                     \
    X(growth_before_epoch_start)                                                                   \
    X(commit_below_epoch_start)                                                                    \
    X(epoch_resumed)                                                                               \
    X(own_epoch_forgotten)                                                                         \
    X(no_epoch_id)                                                                                 \
    X(empty_node_leads)                                                                            \
    X(half_copy_leads)                                                                             \
    X(leader_among_present)                                                                        \
    X(in_sync_all_registered)                                                                      \
    X(fetch_during_copy)                                                                           \
    X(late_copy_accepted)                                                                          \
    X(copy_keeps_giver_id)                                                                         \
    X(cut_by_seq_only)                                                                             \
    X(cut_below_commit)                                                                            \
    X(key_forgotten)                                                                               \
    X(key_in_applied_only)                                                                         \
    X(refused_not_unknown)                                                                         \
    X(min_in_sync_on_arrival)                                                                      \
    X(plain_delete)                                                                                \
    X(serving_while_resigning)                                                                     \
    X(linearizable_before_start)                                                                   \
    X(growth_waits_for_commit)                                                                     \
    X(no_candidates)                                                                               \
    X(pause_counts_as_silence)                                                                     \
    X(shrinks_below_min)                                                                           \
    X(settled_by_revision)                                                                         \
    X(idle_leader_key_kept)                                                                        \
    X(twin_ignored)                                                                                \
    X(growth_of_one)

#define KT_PLANT_ENUM(name) KT_PLANT_##name,
enum kt_plant { KT_PLANT_none, KT_PLANTS(KT_PLANT_ENUM) KT_PLANT_COUNT };
extern enum kt_plant kt_plant;
#define KT_PLANTED(name) (kt_plant == KT_PLANT_##name)
#else
#define KT_PLANTED(name) false
#endif

#endif
