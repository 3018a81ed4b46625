/* SPDX-License-Identifier: MIT */
/* charts.c - two curves. */
#include "bench/charts.h"
#include "bench/report.h"

#include <math.h>

/* The drawing's own units. */
#define WIDTH 560.0
#define HEIGHT 270.0
#define LEFT 66.0
#define RIGHT (WIDTH - 18.0)
#define TOP 16.0
#define BOTTOM (HEIGHT - 44.0)
#define FINE_BELOW 8   /* seconds */
#define POINTS_MAX 600 /* more seconds than that are drawn several to a point */

static void begin(struct kt_buf *dest, const char *label)
{
    kt_buf_printf(dest,
                  "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n"
                  "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                  WIDTH, HEIGHT, label, LEFT, BOTTOM, RIGHT, BOTTOM);
}

static void grid_y(struct kt_buf *dest, double y, const char *label)
{
    kt_buf_printf(dest,
                  "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                  LEFT, y, RIGHT, y, LEFT - 8, y + 4, label);
}

static void grid_x(struct kt_buf *dest, double x, const char *label)
{
    /* A label at the very edge would be cut off. */
    bool edge = x > RIGHT - 12;
    kt_buf_printf(dest,
                  "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                  x, TOP, x, BOTTOM, edge ? RIGHT + 14 : x, BOTTOM + 17, edge ? "end" : "middle",
                  label);
}

static void caption(struct kt_buf *dest, const char *text)
{
    kt_buf_printf(dest,
                  "<text class=\"caption\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s"
                  "</text>\n",
                  (LEFT + RIGHT) / 2, HEIGHT - 8, text);
}

struct scale {
    double low, high;
};

static double scaled(const struct scale *scale, double value, double from, double to)
{
    double part = (value - scale->low) / (scale->high - scale->low);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return from + part * (to - from);
}

/* 1, 2 and 5 of each decade; labels only as many as there is room for. */
static void time_grid(struct kt_buf *dest, const struct scale *y)
{
    static const double steps[] = {1, 2, 5};
    bool narrow = y->high - y->low <= 2.4;
    for (int decade = (int)floor(y->low); decade <= (int)ceil(y->high); decade++) {
        for (int i = 0; i < 3; i++) {
            double us = pow(10, decade) * steps[i];
            char label[32];
            if (log10(us) < y->low - 1e-9 || log10(us) > y->high + 1e-9 || (i && !narrow)) {
                continue;
            }
            snprintf(label, sizeof(label),
                     us < 999      ? "%.0f µs"
                     : us < 999999 ? "%.0f ms"
                                   : "%.0f s",
                     us < 999      ? us
                     : us < 999999 ? us / 1e3
                                   : us / 1e6);
            grid_y(dest, scaled(y, log10(us), BOTTOM, TOP), label);
        }
    }
}

/* Down to 1, 2 or 5 of a decade below, up to one above. */
static double step_to(double value, bool up)
{
    static const double steps[] = {1, 2, 5, 10};
    double decade = pow(10, floor(log10(value) + 1e-9)), best = up ? decade * 10 : decade;
    for (int i = 0; i < 4; i++) {
        double at = decade * steps[i];
        if (up && at >= value * (1 - 1e-9)) {
            return at;
        }
        best = at <= value * (1 + 1e-9) ? at : best;
    }
    return best;
}

static void mark(struct kt_buf *dest, double x, double y, const char *name, double us, bool left)
{
    char text[32];
    kt_buf_printf(dest,
                  "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>"
                  "<text class=\"mark\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s %s</text>\n",
                  x, y, left ? x - 7 : x + 8, left ? y - 6 : y + 15, left ? "end" : "start", name,
                  kt_time_text(us, text));
}

void kt_chart_latency(struct kt_buf *dest, const struct kt_hist *hist)
{
    static const struct kt_percentile ticks[] = {{"0", 0},           {"90 %", 90},
                                                 {"99 %", 99},       {"99.9 %", 99.9},
                                                 {"99.99 %", 99.99}, {"99.999 %", 99.999}};
    if (hist->count == 0) {
        kt_buf_append_text(dest, "<p class=\"none\">no whole answer</p>\n");
        return;
    }
    double least = (double)(hist->min_us ? hist->min_us : 1), most = (double)hist->max_us;
    /* As far to the right as one value in all. */
    struct scale x = {0, fmin(5, fmax(1, log10((double)hist->count)))};
    struct scale y = {log10(step_to(least, false)),
                      log10(step_to(most > least ? most : least + 1, true))};
    begin(dest, "latency by percentile");
    time_grid(dest, &y);
    for (size_t i = 0; i < 6; i++) {
        double at = -log10(1 - ticks[i].percent / 100);
        if (at <= x.high + 1e-9) {
            grid_x(dest, scaled(&x, at, LEFT, RIGHT), ticks[i].name);
        }
    }
    kt_buf_append_text(dest, "<polyline class=\"curve\" points=\"");
    for (int i = 0; i <= 200; i++) {
        double at = x.high * i / 200, percent = 100 * (1 - pow(10, -at));
        double us = (double)kt_hist_percentile(hist, percent);
        kt_buf_printf(dest, "%.1f,%.1f ", scaled(&x, at, LEFT, RIGHT),
                      scaled(&y, log10(us > 1 ? us : 1), BOTTOM, TOP));
    }
    kt_buf_append_text(dest, "\"/>\n");
    for (size_t i = 0; i + 1 < KT_PERCENTILES; i++) {
        double percent = kt_percentiles[i].percent, at = -log10(1 - percent / 100);
        double us = (double)kt_hist_percentile(hist, percent);
        if (percent != 95 && at <= x.high + 1e-9) { /* p95 is too near to its neighbours */
            mark(dest, scaled(&x, at, LEFT, RIGHT), scaled(&y, log10(us > 1 ? us : 1), BOTTOM, TOP),
                 kt_percentiles[i].name, us, i > 0);
        }
    }
    caption(dest, "percentile of answers (each step ten times rarer)");
    kt_buf_append_text(dest, "</svg>\n");
}

/* `most` decides the unit, so that an axis has one. */
static const char *rate_text(double rate, double most, char dest[32])
{
    if (rate > 0 && most >= 1e6) {
        snprintf(dest, 32, "%.4g M", rate / 1e6);
    } else if (rate > 0 && most >= 1e4) {
        snprintf(dest, 32, "%.4g k", rate / 1e3);
    } else {
        snprintf(dest, 32, "%.4g", rate);
    }
    return dest;
}

/* One point of the curve: some seconds together. */
struct point {
    double at_s, right, wrong; /* its middle; a second */
};

/* Seconds, some together when they are many; tenths when they are few. */
static size_t gather(const struct kt_load_result *result, struct point *points, double *ret_span)
{
    bool fine = result->second_count < FINE_BELOW;
    size_t all = fine ? result->tenth_count : result->second_count;
    size_t together = (all + POINTS_MAX - 1) / POINTS_MAX, count = 0;
    double at_s = 0;
    for (size_t i = 0; i < all; i += together) {
        double right = 0, wrong = 0, span = 0;
        for (size_t j = i; j < i + together && j < all; j++) {
            right += (double)(fine ? result->tenths[j].right : result->seconds[j].right);
            wrong += (double)(fine ? result->tenths[j].wrong : result->seconds[j].wrong);
            span += fine ? result->tenths[j].span_s : result->seconds[j].span_s;
        }
        if (span > 0) {
            points[count++] = (struct point){at_s + span / 2, right / span, wrong / span};
        }
        at_s += span;
    }
    *ret_span = at_s;
    return count;
}

static void time_axis(struct kt_buf *dest, const struct scale *x)
{
    double step = step_to(x->high / 6, true);
    int steps = (int)(x->high / step + 1e-9);
    for (int i = 0; i <= steps; i++) {
        double at = step * i;
        char label[32];
        snprintf(label, sizeof(label), "%.4g s", at);
        grid_x(dest, scaled(x, at, LEFT, RIGHT), label);
    }
}

static void put_points(struct kt_buf *dest, const struct scale *x, const struct scale *y,
                       const struct point *points, size_t count, bool wrong)
{
    for (size_t i = 0; i < count; i++) {
        double value = wrong ? points[i].wrong : points[i].right;
        double height = scaled(y, value, BOTTOM, TOP);
        /* The first and the last value reach to the borders of their seconds. */
        if (i == 0) {
            kt_buf_printf(dest, "%.1f,%.1f ", LEFT, height);
        }
        kt_buf_printf(dest, "%.1f,%.1f ", scaled(x, points[i].at_s, LEFT, RIGHT), height);
        if (i + 1 == count) {
            kt_buf_printf(dest, "%.1f,%.1f ", RIGHT, height);
        }
    }
}

static void rate_curves(struct kt_buf *dest, const struct scale *x, const struct scale *y,
                        const struct point *points, size_t count)
{
    bool wrong = false;
    for (size_t i = 0; i < count; i++) {
        wrong = wrong || points[i].wrong > 0;
    }
    kt_buf_printf(dest, "<polygon class=\"area\" points=\"%.1f,%.1f ", LEFT, BOTTOM);
    put_points(dest, x, y, points, count, false);
    kt_buf_printf(dest, "%.1f,%.1f\"/>\n<polyline class=\"curve\" points=\"", RIGHT, BOTTOM);
    put_points(dest, x, y, points, count, false);
    kt_buf_append_text(dest, "\"/>\n");
    if (wrong) {
        kt_buf_append_text(dest, "<polyline class=\"bad\" points=\"");
        put_points(dest, x, y, points, count, true);
        kt_buf_append_text(dest, "\"/>\n");
    }
    caption(dest, wrong ? "seconds since the start; right answers, and wrong ones in red"
                        : "seconds since the start");
}

void kt_chart_rate(struct kt_buf *dest, const struct kt_load_result *result, double target)
{
    struct point points[POINTS_MAX];
    struct scale x = {0, 1}, y = {0, 1};
    size_t count = gather(result, points, &x.high);
    double most = 1;
    if (count == 0) {
        kt_buf_append_text(dest, "<p class=\"none\">too short for a curve</p>\n");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fmax(points[i].right, points[i].wrong));
    }
    /* The target only where it does not flatten the curve. */
    bool show_target = target > 0 && target <= most * 3;
    double step = step_to(fmax(most, show_target ? target : 0) / 5, true);
    y.high = ceil(fmax(most, show_target ? target : 0) / step * (1 - 1e-9)) * step;
    begin(dest, "answers a second over time");
    int steps = (int)(y.high / step + 1e-9);
    for (int i = 0; i <= steps; i++) {
        double at = step * i;
        char label[32];
        grid_y(dest, scaled(&y, at, BOTTOM, TOP), rate_text(at, y.high, label));
    }
    time_axis(dest, &x);
    rate_curves(dest, &x, &y, points, count);
    if (show_target) {
        double at = scaled(&y, target, BOTTOM, TOP);
        kt_buf_printf(
            dest,
            "<line class=\"target\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"mark\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">target</text>\n",
            LEFT, at, RIGHT, at, RIGHT - 4, at - 5);
    }
    kt_buf_append_text(dest, "</svg>\n");
}
