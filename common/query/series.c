/* SPDX-License-Identifier: MIT */
/* series.c - the series of a subject, as whole as the plan's view promises it. */
#include "query/query_impl.h"

enum kt_status query_series(struct plan *plan, const struct kt_subject *subject,
                            struct kt_series **ret_series, struct kt_error *err)
{
    const struct kt_query_env *env = plan->env;
    struct kt_series *series = NULL;
    enum kt_status status = query_tick(plan, err);
    if (status == KT_OK) {
        status = kt_series_cache_get(env->cache, subject, &series, err);
    }
    if (status == KT_OK && kt_store_erased_since(env->store, plan->view, subject)) {
        if (env->erased) {
            *env->erased = true;
        }
        status = kt_fail(err, KT_BUSY, "records that this asks for are being deleted; ask again");
    }
    if (status == KT_OK) {
        *ret_series = series;
    } else {
        kt_series_unref(&series);
    }
    return status;
}
