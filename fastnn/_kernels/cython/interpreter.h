/* Computes formulas: a program's steps, each a loop over a block of elements, on registers that stay in the first-level
   cache, as numexpr does it.

   A program is made, and checked, by ../programs.py: numbers of 64 bits, the head, the constants as doubles, then the
   steps. A step is an operation, the place of its result and three of its operands. Places 0 and 1 are the inputs z and
   y, the others registers: first those of the constants. */
#define run_program NAME(run_program)
#define place NAME(place)

#ifndef FASTNN_PROGRAM
#define FASTNN_PROGRAM
#define REGISTER_BYTES 32768 /* of all registers */
#define MAX_BLOCK 512        /* elements */
#define FIRST_REGISTER 2

typedef struct fastnn_program {
    int64_t registers, constants, steps;
    int64_t results[2]; /* places */
} fastnn_program;

typedef struct fastnn_step_of_program {
    int64_t operation, to, operands[3];
} fastnn_step_of_program;
#endif

/* Where an operand of a block lies. */
INLINE const REAL *place(int64_t number, const REAL *z, const REAL *y, const REAL *registers, ptrdiff_t block)
{
    return number == 0 ? z : number == 1 ? y : registers + (number - FIRST_REGISTER) * block;
}

static void run_program(ptrdiff_t address, const REAL *z, const REAL *y, REAL *to0, REAL *to1, ptrdiff_t n)
{
    REAL memory[(REGISTER_BYTES + 64) / sizeof(REAL)];
    const fastnn_program *program = (const fastnn_program *)address;
    const double *constants = (const double *)(program + 1);
    const fastnn_step_of_program *steps = (const fastnn_step_of_program *)(constants + program->constants);
    REAL *registers = (REAL *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    ptrdiff_t block = (ptrdiff_t)(REGISTER_BYTES / sizeof(REAL)) / program->registers / 16 * 16;
    if (block > MAX_BLOCK) block = MAX_BLOCK;
    if (block > n) block = (n + 15) / 16 * 16;
    for (int64_t k = 0; k < program->constants; k++)
        for (ptrdiff_t i = 0; i < block; i++) registers[k * block + i] = (REAL)constants[k];
    for (ptrdiff_t first = 0; first < n; first += block) {
        const ptrdiff_t count = n - first < block ? n - first : block;
        const size_t bytes = (size_t)count * sizeof(REAL);
        for (int64_t s = 0; s < program->steps; s++) {
            const fastnn_step_of_program *step = &steps[s];
            const REAL *a = place(step->operands[0], z + first, y + first, registers, block);
            const REAL *b = place(step->operands[1], z + first, y + first, registers, block);
            const REAL *c = place(step->operands[2], z + first, y + first, registers, block);
            operate(step->operation, a, b, c, registers + (step->to - FIRST_REGISTER) * block, count);
        }
        memcpy(to0 + first, place(program->results[0], z, y, registers, block), bytes);
        memcpy(to1 + first, place(program->results[1], z, y, registers, block), bytes);
    }
}
