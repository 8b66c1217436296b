// Look-up microkernels for 64 filters (AVX-512 VBMI, x86-64, System V ABI).
//
// A pixel has one table of 64 bytes of a group of channels: one VPERMB looks up the sums of 64
// filters' subsets. The sums of 2 or 4 groups are added as bytes and then widened into two vectors of
// 16-bit sums: one gains the words that pairs of bytes are (even + 256 odd), the other one the odd
// bytes alone, which come off the first one in the end: three instructions where masks take four. Two
// pixels take turns, so that permutations and additions come in pairs (docs/performance.md, Zen 4).
// In the end each sum is multiplied by its filter's factor, by a VPMADDWD with a zero beside it.
//
//   void name(const DenseTask* task);            see dense_kernels.h
//
// Names: tf_signbin_dense_i8w<groups added>_p<P>f4.

        .intel_syntax noprefix
        .altmacro
        .text

// Offsets into DenseTask.
        .set TASK_TAPS, 0
        .set TASK_TAP_COUNT, 8
        .set TASK_BLOCKS, 16
        .set TASK_TAIL_GROUPS, 24
        .set TASK_PIXEL_BYTES, 32
        .set TASK_WEIGHTS, 40
        .set TASK_BIAS, 48
        .set TASK_OUT, 56
        .set TASK_FACTORS, 64
        .set TASK_PARTIAL, 72
        .set TASK_UNFINISHED, 80

        .set BLOCK_GROUPS, 4

        .macro LOAD reg, base, offset
        vmovdqa64 zmm\reg, [\base + \offset]
        .endm

        .macro STORE reg
        vmovdqa64 [rcx + \reg*64], zmm\reg
        .endm

// zmm<reg> = pixel p's sums; r8, r9, r10 point at pixels 0, 3, 6, rax is the step.
        .macro LOOK_UP reg, index, p, disp
        .if \p % 3 == 0
        LOOK_UP_AT \reg, \index, %(8 + \p / 3), 0, \disp
        .elseif \p % 3 == 1
        LOOK_UP_AT \reg, \index, %(8 + \p / 3), 1, \disp
        .else
        LOOK_UP_AT \reg, \index, %(8 + \p / 3), 2, \disp
        .endif
        .endm

        .macro LOOK_UP_AT reg, index, base, scale, disp
        .if \scale == 0
        vpermb zmm\reg, zmm\index, [r\base + \disp]
        .else
        vpermb zmm\reg, zmm\index, [r\base + rax*\scale + \disp]
        .endif
        .endm

        .macro ADD_BYTES sum, value
        vpaddb zmm\sum, zmm\sum, zmm\value
        .endm

        .macro ADD_WORDS sum, value
        vpaddw zmm\sum, zmm\sum, zmm\value
        .endm

        .macro ODD_BYTES odd, bytes
        vpsrlw zmm\odd, zmm\bytes, 8
        .endm

// Pixels p, and p + 1 where `count` is 2.
        .macro LOOK_UP_PIXELS pixels, p, count, index, groups
        .set found, 2*\pixels + \groups
        .set next, found + 2
        .set i, 0
        .rept \count
        LOOK_UP %(found + i), %(2*\pixels), %(\p + i), %(\index*64)
        .set i, i + 1
        .endr
        .set g, 1
        .rept \groups - 1
        .set i, 0
        .rept \count
        LOOK_UP %(next + i), %(2*\pixels + g), %(\p + i), %((\index + g)*64)
        .set i, i + 1
        .endr
        .set i, 0
        .rept \count
        ADD_BYTES %(found + i), %(next + i)
        .set i, i + 1
        .endr
        .set g, g + 1
        .endr
        .set i, 0
        .rept \count
        ODD_BYTES %(next + i), %(found + i)
        ADD_WORDS %(2*(\p + i)), %(found + i)
        .set i, i + 1
        .endr
        .set i, 0
        .rept \count
        ADD_WORDS %(2*(\p + i) + 1), %(next + i)
        .set i, i + 1
        .endr
        .endm

// Groups that are added before they are widened, from `index` on.
        .macro ADDED pixels, index, groups
        .set g, 0
        .rept \groups
        LOAD %(2*\pixels + g), rdx, %((\index + g)*64)
        .set g, g + 1
        .endr
        .set p, 0
        .rept \pixels / 2
        LOOK_UP_PIXELS \pixels, %p, 2, \index, \groups
        .set p, p + 2
        .endr
        .if \pixels % 2
        LOOK_UP_PIXELS \pixels, %p, 1, \index, \groups
        .endif
        .endm

        .macro GROUPS added, pixels, groups
        .set index, 0
        .rept \groups / \added
        ADDED \pixels, %index, \added
        .set index, index + \added
        .endr
        .if \groups % \added
        ADDED \pixels, %index, %(\groups % \added)
        .endif
        add rdx, \groups*64
        .set i, 0
        .rept (\pixels + 2) / 3
        ADVANCE %(8 + i), %(\groups*64)
        .set i, i + 1
        .endr
        .endm

        .macro ADVANCE base, bytes
        add r\base, \bytes
        .endm

        .macro POINT base, previous
        lea r\base, [r\previous + r14]
        .endm

        .macro ZERO reg
        vpxord zmm\reg, zmm\reg, zmm\reg
        .endm

        .macro SCALE_SUMS p, factors
        EVEN_SUMS %(2*\p), %(2*\p + 1), %(\factors + 4)
        .set v, 0
        .rept 4
        SCALE_VECTOR %(2*\p + v % 2), %(\factors + v), %(\factors + 5), %(v*64), %((4*\p + v)*64)
        .set v, v + 1
        .endr
        .endm

// Both as signed words, 32768 less, for which the start makes up.
        .macro EVEN_SUMS words, odd, shifted
        vpsllw zmm\shifted, zmm\odd, 8
        vpsubw zmm\words, zmm\words, zmm\shifted
        vpxord zmm\words, zmm\words, zmm31
        vpxord zmm\odd, zmm\odd, zmm31
        .endm

        .macro SCALE_VECTOR sums, factor, product, start, out
        vpmaddwd zmm\product, zmm\sums, zmm\factor
        vpaddd zmm\product, zmm\product, [r8 + \start]
        vmovdqa64 [rcx + \out], zmm\product
        .endm

// Factors of sums in the high words of their lanes.
        .macro TO_HIGH_WORDS reg
        vpslld zmm\reg, zmm\reg, 16
        .endm

        .macro KERNEL added, pixels
        .globl tf_signbin_dense_i8w\added\()_p\pixels\()f4
        .hidden tf_signbin_dense_i8w\added\()_p\pixels\()f4
        .type tf_signbin_dense_i8w\added\()_p\pixels\()f4, @function
        .p2align 6
tf_signbin_dense_i8w\added\()_p\pixels\()f4:
        endbr64
        push rbx
        push r14
        mov rax, [rdi + TASK_PIXEL_BYTES]
        lea r14, [rax + rax*2]
        mov rdx, [rdi + TASK_WEIGHTS]
        mov rsi, [rdi + TASK_TAPS]
        mov rbx, [rdi + TASK_TAP_COUNT]
        mov rcx, [rdi + TASK_PARTIAL]
        test rcx, rcx
        jz 7f
        .set i, 0
        .rept 2*\pixels
        LOAD %i, rcx, %(i*64)
        .set i, i + 1
        .endr
        jmp 1f
7:      .set i, 0
        .rept 2*\pixels
        ZERO %i
        .set i, i + 1
        .endr
1:      mov r8, [rsi]
        add rsi, 8
        .set i, 1
        .rept (\pixels - 1) / 3
        POINT %(8 + i), %(7 + i)
        .set i, i + 1
        .endr
        mov rcx, [rdi + TASK_BLOCKS]
        test rcx, rcx
        jz 3f
        .p2align 5
2:      GROUPS \added, \pixels, BLOCK_GROUPS
        dec rcx
        jnz 2b
3:      mov rcx, [rdi + TASK_TAIL_GROUPS]
        cmp rcx, 2
        ja 5f
        je 4f
        test rcx, rcx
        jz 6f
        GROUPS \added, \pixels, 1
        jmp 6f
4:      GROUPS \added, \pixels, 2
        jmp 6f
5:      GROUPS \added, \pixels, 3
6:      dec rbx
        jnz 1b
        cmp qword ptr [rdi + TASK_UNFINISHED], 0
        je 8f
        mov rcx, [rdi + TASK_OUT]
        .set i, 0
        .rept 2*\pixels
        STORE %i
        .set i, i + 1
        .endr
        jmp 9f
8:      mov rcx, [rdi + TASK_FACTORS]
        mov r8, [rdi + TASK_BIAS]
        .set i, 0
        .rept 4
        LOAD %(2*\pixels + i), rcx, %(i*64)
        .set i, i + 1
        .endr
        TO_HIGH_WORDS %(2*\pixels + 2)
        TO_HIGH_WORDS %(2*\pixels + 3)
        mov ecx, 0x80008000
        vpbroadcastd zmm31, ecx
        mov rcx, [rdi + TASK_OUT]
        .set p, 0
        .rept \pixels
        SCALE_SUMS %p, %(2*\pixels)
        .set p, p + 1
        .endr
9:      pop r14
        pop rbx
        vzeroupper
        ret
        .size tf_signbin_dense_i8w\added\()_p\pixels\()f4, . - tf_signbin_dense_i8w\added\()_p\pixels\()f4
        .endm

// Every shape the planner may ask for (dense_kernels.h lists the same).
        .irp added, 2, 4
        .irp pixels, 1, 2, 3, 4, 5, 6, 7, 8
        KERNEL \added, \pixels
        .endr
        .endr

        .section .note.GNU-stack,"",@progbits
