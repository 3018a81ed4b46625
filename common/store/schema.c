/* SPDX-License-Identifier: MIT */
/* The tables of both files, one migration after the other; a migration that was ever released is
 * never changed.
 *
 * Why version's key is the whole order of the value rule: loading a subject is then one range scan
 * in exactly the order that a series is built in, and "the greatest declare time so far" is one
 * seek. WITHOUT ROWID, so that the rows lie in that order. The row's values are JSON text
 * (rowdata.h): a person reads it, and json_each(data) takes it apart.
 */
#include "store/store_internal.h"

#include "base/mem.h"

const char *const store_log_migrations[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;"
    "CREATE TABLE entry(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wall_ms INTEGER NOT NULL,"
    "  key TEXT NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE epoch(epoch INTEGER PRIMARY KEY, epoch_id TEXT NOT NULL,"
    "  first_seq INTEGER NOT NULL);",
    /* What is kept grew: a program that does not know of a half copy or of a growth of the union
     * must not open the file and act without them. */
    ("INSERT OR IGNORE INTO meta(name,value) VALUES"
     "  ('kept_growth',''),('half_copy',0),('bound_by_nothing',0);"),
    /* Where a log begins that came with a full copy: at most one row, the entry behind which it
     * goes on. */
    "CREATE TABLE base(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wall_ms INTEGER NOT NULL);",
};
const int store_log_migration_count = (int)KT_ARRAY_LEN(store_log_migrations);

const char *const store_data_migrations[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;"
    "CREATE TABLE revision(seq INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL);"
    "CREATE INDEX revision_by_wall ON revision(wall_ms);"
    "CREATE TABLE indicator(number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);"
    "CREATE TABLE topic(number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);"
    "CREATE TABLE subject(number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL, status TEXT NOT NULL, listing_date TEXT NOT NULL,"
    "  category TEXT NOT NULL, changed_revision INTEGER NOT NULL);"
    "CREATE TABLE stay(subject INTEGER NOT NULL, topic INTEGER NOT NULL,"
    "  from_time INTEGER NOT NULL, to_time INTEGER NOT NULL,"
    "  PRIMARY KEY(subject, topic, from_time)) WITHOUT ROWID;"
    "CREATE TABLE tag(subject INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
    "  PRIMARY KEY(subject, name, value)) WITHOUT ROWID;"
    "CREATE TABLE version(subject INTEGER NOT NULL, time INTEGER NOT NULL, period TEXT NOT NULL,"
    "  declare_time INTEGER NOT NULL, revision INTEGER NOT NULL, line INTEGER NOT NULL,"
    "  declare_given INTEGER NOT NULL, data TEXT NOT NULL,"
    "  PRIMARY KEY(subject, time, period, declare_time, revision, line)) WITHOUT ROWID;",
    /* Generic series; points and numbers count what the series holds. (A later migration that has
     * the data made again from the log must empty these three tables too.) */
    "CREATE TABLE generic_series(number INTEGER PRIMARY KEY, tbl INTEGER NOT NULL,"
    "  id TEXT NOT NULL, create_time INTEGER NOT NULL, update_time INTEGER NOT NULL,"
    "  points INTEGER NOT NULL, numbers INTEGER NOT NULL, UNIQUE(tbl, id));"
    "CREATE TABLE generic_point(series INTEGER NOT NULL, time INTEGER NOT NULL,"
    "  count INTEGER NOT NULL, numbers TEXT NOT NULL, PRIMARY KEY(series, time)) WITHOUT ROWID;"
    /* What each revision touched, as JSON: arrays of keys, or "*". */
    "CREATE TABLE touched(seq INTEGER PRIMARY KEY, subjects TEXT NOT NULL, topics TEXT NOT NULL);",
    /* Subjects get the revision of their newest change of any kind, and a change may be refused by
     * it. It can't be told from the tables, so the data is made again from the log, which no
     * version that wrote schema 1 or 2 has ever cut: alike on every node, whenever it comes here.
     */
    "INSERT OR REPLACE INTO meta(name,value)"
    "  SELECT 'known_commit',value FROM meta WHERE name='applied_seq';"
    "DELETE FROM meta WHERE name IN ('applied_seq','record_count');"
    "DELETE FROM revision; DELETE FROM indicator; DELETE FROM topic; DELETE FROM subject;"
    "DELETE FROM stay; DELETE FROM tag; DELETE FROM version;"
    "DELETE FROM generic_series; DELETE FROM generic_point; DELETE FROM touched;"
    "ALTER TABLE subject ADD COLUMN touched_revision INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE request(key TEXT PRIMARY KEY NOT NULL, digest BLOB NOT NULL,"
    "  expires_ms INTEGER NOT NULL, revision INTEGER NOT NULL, status TEXT NOT NULL,"
    "  field TEXT NOT NULL, message TEXT NOT NULL, subjects INTEGER NOT NULL,"
    "  records INTEGER NOT NULL, value_count INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX request_by_expiry ON request(expires_ms);",
};
const int store_data_migration_count = (int)KT_ARRAY_LEN(store_data_migrations);
