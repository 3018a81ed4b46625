/* SPDX-License-Identifier: MIT */
/* coord_txn.c - the three transactions.
 *
 * The config is compared by mod_revision and by value: an etcd that lost its disk counts from 1
 * again, and the number alone would then match by chance. etcd's compares are all "and", so that
 * "absent or mine" is decided by the view: a view that is late is refused, and a newer one follows.
 */
#include "coord/coord_etcd.h"

#include <stdio.h>
#include <string.h>

struct txn {
    char leader_key[KT_COORD_PREFIX_MAX + 32], config_key[KT_COORD_PREFIX_MAX + 32];
    struct kt_etcd_compare compares[4];
    size_t compare_count;
    struct kt_etcd_op ops[2];
    size_t op_count;
    struct kt_buf leader, config;
};

static void txn_init(struct txn *txn, const struct coord_etcd *coord)
{
    memset(txn, 0, sizeof(*txn));
    snprintf(txn->leader_key, sizeof(txn->leader_key), "%s/cluster/leader", coord->prefix);
    snprintf(txn->config_key, sizeof(txn->config_key), "%s/cluster/config", coord->prefix);
    kt_buf_init(&txn->leader, 0);
    kt_buf_init(&txn->config, 0);
}

static void compare_number(struct txn *txn, const char *key, enum kt_etcd_target target,
                           int64_t number)
{
    txn->compares[txn->compare_count++] =
        (struct kt_etcd_compare){kt_str(key), target, number, {NULL, 0}};
}

static void compare_config(struct txn *txn, const struct kt_coord_view *view)
{
    if (!view->config.present) {
        compare_number(txn, txn->config_key, KT_ETCD_CREATE_REVISION, 0);
        return;
    }
    compare_number(txn, txn->config_key, KT_ETCD_MOD_REVISION, view->config.mod_revision);
    txn->compares[txn->compare_count++] = (struct kt_etcd_compare){
        kt_str(txn->config_key), KT_ETCD_VALUE, 0, kt_str(view->config.text)};
}

static void put_config(struct txn *txn, const struct kt_cluster_config *config)
{
    kt_cluster_config_format(config, &txn->config);
    txn->ops[txn->op_count++] =
        (struct kt_etcd_op){KT_ETCD_OP_PUT, kt_str(txn->config_key), kt_buf_str(&txn->config), 0};
}

static enum kt_txn_outcome txn_run(struct coord_etcd *coord, struct txn *txn, struct kt_error *err)
{
    bool succeeded = false;
    int64_t revision = 0;
    enum kt_status status = kt_buf_status(&txn->leader);

    if (status == KT_OK) {
        status = kt_buf_status(&txn->config);
    }
    if (status != KT_OK) {
        status = kt_fail(err, status, "no memory for a transaction");
    } else {
        status = kt_etcd_txn(coord->etcd, txn->compares, txn->compare_count, txn->ops,
                             txn->op_count, &succeeded, &revision, err);
    }
    kt_buf_done(&txn->leader);
    kt_buf_done(&txn->config);
    if (status != KT_OK) {
        return KT_TXN_UNKNOWN;
    }
    if (!succeeded) {
        (void)kt_fail(err, KT_CONFLICT, "etcd's leader or configuration is another by now");
    }
    return succeeded ? KT_TXN_DONE : KT_TXN_REFUSED;
}

static int64_t current_lease(struct coord_etcd *coord)
{
    int64_t lease;

    kt_mutex_lock(&coord->mutex);
    lease = coord->lease;
    kt_mutex_unlock(&coord->mutex);
    return lease;
}

enum kt_txn_outcome kt_coord_etcd_campaign(struct kt_coord *base, const struct kt_coord_view *view,
                                           const struct kt_cluster_config *config,
                                           struct kt_error *err)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    int64_t lease = current_lease(coord);
    struct txn txn;

    if (lease == 0) {
        (void)kt_fail(err, KT_UNAVAILABLE, "there is no lease to lead under");
        return KT_TXN_UNKNOWN;
    }
    txn_init(&txn, coord);
    /* By the lease and not by the id: a key under an earlier lease of mine is not mine. */
    if (view->leader.present && view->leader.lease == lease) {
        compare_number(&txn, txn.leader_key, KT_ETCD_LEASE, lease);
    } else {
        compare_number(&txn, txn.leader_key, KT_ETCD_CREATE_REVISION, 0);
    }
    compare_config(&txn, view);
    kt_coord_format_leader(config->leader, coord->addr, config->epoch, &txn.leader);
    txn.ops[txn.op_count++] =
        (struct kt_etcd_op){KT_ETCD_OP_PUT, kt_str(txn.leader_key), kt_buf_str(&txn.leader), lease};
    put_config(&txn, config);
    return txn_run(coord, &txn, err);
}

enum kt_txn_outcome kt_coord_etcd_update_config(struct kt_coord *base,
                                                const struct kt_coord_view *view,
                                                const struct kt_cluster_config *config,
                                                struct kt_error *err)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    int64_t lease = current_lease(coord);
    struct txn txn;

    if (lease == 0) {
        (void)kt_fail(err, KT_UNAVAILABLE, "there is no lease to lead under");
        return KT_TXN_UNKNOWN;
    }
    txn_init(&txn, coord);
    compare_number(&txn, txn.leader_key, KT_ETCD_LEASE, lease);
    compare_config(&txn, view);
    put_config(&txn, config);
    return txn_run(coord, &txn, err);
}

enum kt_txn_outcome kt_coord_etcd_delete_leader(struct kt_coord *base,
                                                const struct kt_coord_view *view,
                                                struct kt_error *err)
{
    struct coord_etcd *coord = (struct coord_etcd *)base;
    struct txn txn;

    if (!view->leader.present) {
        (void)kt_fail(err, KT_CONFLICT, "there is no leader key to delete");
        return KT_TXN_REFUSED;
    }
    txn_init(&txn, coord);
    compare_number(&txn, txn.leader_key, KT_ETCD_CREATE_REVISION, view->leader.create_revision);
    txn.ops[txn.op_count++] =
        (struct kt_etcd_op){KT_ETCD_OP_DELETE, kt_str(txn.leader_key), {NULL, 0}, 0};
    return txn_run(coord, &txn, err);
}
