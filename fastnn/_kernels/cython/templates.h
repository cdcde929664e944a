/* All primitives of one level and one type, and the table that holds them. */
#include "simd.h"

#include "equations.h"
#include "interpreter.h"
#include "elementwise.h"
#include "dropout.h"
#include "multiply.h"
#include "dots.h"
#include "softmax.h"
#include "convert.h"
#include "sparse.h"
#include "transpose.h"
#include "update.h"
#include "missed.h"
#include "sample.h"
#include "narrow.h"

static const TABLE NAME(table) = {
    LEVEL_NAME, LANES, TILE_ROWS, TILE_VECTORS, update, FASTNN_PRIMITIVES,
};
