/* software.h - what this program calls itself.
 *
 * Threads: any. Owns: nothing. Fails: never.
 */
#ifndef KT_BASE_SOFTWARE_H
#define KT_BASE_SOFTWARE_H

#define KT_VERSION "0.1.0"
#define KT_SOFTWARE "kamaitachi/" KT_VERSION

#endif
