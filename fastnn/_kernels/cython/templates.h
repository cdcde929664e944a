/* All primitives of one level and one type, and the table that holds them. */
#include "simd.h"

#include "equations.h"
#include "elementwise.h"
#include "multiply.h"
#include "dots.h"
#include "softmax.h"
#include "transpose.h"
#include "update.h"
#include "sample.h"
#include "narrow.h"

static const TABLE NAME(table) = {
    LEVEL_NAME, LANES, TILE_ROWS, TILE_VECTORS, multiply, dots, gram_rows, add_rows, add_rows_and_ask, sum, activate,
    multiply_by_derivative, exp_array, log_array, sigmoid_cross_entropy_array, softmax, softmax_deltas,
    update, transpose,
    finish_outputs, update_and_project, step_one_output, multiply_and_update, turn, walk_narrow, add_multiple,
};
