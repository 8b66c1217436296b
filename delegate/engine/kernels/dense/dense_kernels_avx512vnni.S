// Dense int8 microkernels for AVX-512 VNNI (x86-64, System V ABI), and their like with tables.
//
// A microkernel computes P output pixels times F vectors of 16 filters. Its accumulators stay in
// registers: they start at the filters' biases and gain, for every group of 4 channels, one VPDPBUSD
// (unsigned activations, signed weights). A group's F weight vectors are loaded once. A pixel's 4
// activations are broadcast to a register once, made unsigned (x + 128) by the exclusive or that
// loads them, and used F times: on Zen 5 free beside the dot products, two of them a cycle.
//
// With tables (VBMI) a pixel has 64 bytes of a group: four tables of 16 sums of channels. One VPERMB
// looks up the sums of 16 filters' subsets in all four, one VPDPBUSD adds them, multiplied by the
// filter's factor: 256 products with four channels a table. Where a byte has room for the sums of 2 or
// 4 groups these are added first (i8b2, i8b4), for cores that look up and widen on one port.
//
//   void name(const DenseTask* task);            see dense_kernels.h
//
// Names: tf_signbin_dense_<form>_p<P>f<F>, forms i8, i8b, i8b2, i8b4.

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

        .set BLOCK_GROUPS, 4

// Bytes that a pixel has of a group.
        .set i8_BYTES, 4
        .set i8b_BYTES, 64
        .set i8b2_BYTES, 64
        .set i8b4_BYTES, 64

// zmm<reg> = pixel p's part of a group; r8, r9, ... r13 point at pixels 0, 3, ... 15, rax is the step.
        .macro PIXEL form, reg, p, disp
        .if \p % 3 == 0
        PIXEL_AT \form, \reg, %(8 + \p / 3), 0, \disp
        .elseif \p % 3 == 1
        PIXEL_AT \form, \reg, %(8 + \p / 3), 1, \disp
        .else
        PIXEL_AT \form, \reg, %(8 + \p / 3), 2, \disp
        .endif
        .endm

        .macro PIXEL_AT form, reg, base, scale, disp
        .if \scale == 0
        \form\()_PIXEL \reg, [r\base + \disp]
        .else
        \form\()_PIXEL \reg, [r\base + rax*\scale + \disp]
        .endif
        .endm

// 4 activations, unsigned.
        .macro i8_PIXEL reg, address:vararg
        vpxord zmm\reg, zmm31, dword ptr \address{1to16}
        .endm

// 4 tables.
        .macro i8b_PIXEL reg, address:vararg
        vmovdqa64 zmm\reg, \address
        .endm

        .macro LOAD reg, base, offset
        vmovdqa64 zmm\reg, [\base + \offset]
        .endm

        .macro STORE reg
        vmovdqa64 [rcx + \reg*64], zmm\reg
        .endm

        .macro DOT acc, x, w
        vpdpbusd zmm\acc, zmm\x, zmm\w
        .endm

        .macro LOOK_UP reg, index, table
        vpermb zmm\reg, zmm\index, zmm\table
        .endm

        .macro ADD_SUMS sum, value
        vpaddb zmm\sum, zmm\sum, zmm\value
        .endm

        .macro WEIGHTS pixels, vectors, index
        .set f, 0
        .rept \vectors
        LOAD %(\pixels*\vectors + f), rdx, %((\index*\vectors + f)*64)
        .set f, f + 1
        .endr
        .endm

        .macro i8_GROUP pixels, vectors, index
        .set first_temporary, \pixels*\vectors + \vectors
        WEIGHTS \pixels, \vectors, \index
        .set p, 0
        .rept \pixels
        .set temporary, first_temporary + p % (31 - first_temporary)
        PIXEL i8, %temporary, %p, %(\index*i8_BYTES)
        .set f, 0
        .rept \vectors
        DOT %(p*\vectors + f), %temporary, %(\pixels*\vectors + f)
        .set f, f + 1
        .endr
        .set p, p + 1
        .endr
        .endm

// Sums `groups` groups looked up, from `index` on, for `count` vectors from `first` on, and widens
// them. Indices are in the place of weights; registers: sums, factors, indices, table, looked up.
        .macro LOOK_UP_GROUPS pixels, vectors, first, count, index, groups
        .set indices, \pixels*\vectors + \vectors
        .set table, indices + \groups*\count
        .set found, table + 1
        .set next, found + \count
        .set g, 0
        .rept \groups
        .set f, 0
        .rept \count
        LOAD %(indices + g*\count + f), rdx, %(((\index + g)*\vectors + \first + f)*64)
        .set f, f + 1
        .endr
        .set g, g + 1
        .endr
        .set p, 0
        .rept \pixels
        PIXEL i8b, %table, %p, %(\index*i8b_BYTES)
        .set f, 0
        .rept \count
        LOOK_UP %(found + f), %(indices + f), %table
        .set f, f + 1
        .endr
        .set g, 1
        .rept \groups - 1
        PIXEL i8b, %table, %p, %((\index + g)*i8b_BYTES)
        .set f, 0
        .rept \count
        LOOK_UP %(next + f), %(indices + g*\count + f), %table
        .set f, f + 1
        .endr
        .set f, 0
        .rept \count
        ADD_SUMS %(found + f), %(next + f)
        .set f, f + 1
        .endr
        .set g, g + 1
        .endr
        .set f, 0
        .rept \count
        DOT %(p*\vectors + \first + f), %(found + f), %(\pixels*\vectors + \first + f)
        .set f, f + 1
        .endr
        .set p, p + 1
        .endr
        .endm

// Of four vectors two at a time, for want of registers.
        .macro ADDED_GROUPS pixels, vectors, index, groups
        .if \vectors == 4
        LOOK_UP_GROUPS \pixels, \vectors, 0, 2, \index, \groups
        LOOK_UP_GROUPS \pixels, \vectors, 2, 2, \index, \groups
        .else
        LOOK_UP_GROUPS \pixels, \vectors, 0, \vectors, \index, \groups
        .endif
        .endm

        .macro i8_GROUPS pixels, vectors, groups
        .set group, 0
        .rept \groups
        i8_GROUP \pixels, \vectors, %group
        .set group, group + 1
        .endr
        .endm

        .macro i8b_GROUPS pixels, vectors, groups
        .set group, 0
        .rept \groups
        ADDED_GROUPS \pixels, \vectors, %group, 1
        .set group, group + 1
        .endr
        .endm

        .macro i8b2_GROUPS pixels, vectors, groups
        .if \groups == 1
        ADDED_GROUPS \pixels, \vectors, 0, 1
        .else
        .set group, 0
        .rept \groups / 2
        ADDED_GROUPS \pixels, \vectors, %group, 2
        .set group, group + 2
        .endr
        .endif
        .endm

        .macro i8b4_GROUPS pixels, vectors, groups
        ADDED_GROUPS \pixels, \vectors, 0, \groups
        .endm

        .macro GROUPS form, pixels, vectors, groups
        \form\()_GROUPS \pixels, \vectors, \groups
        add rdx, \groups*\vectors*64
        .set i, 0
        .rept (\pixels + 2) / 3
        ADVANCE %(8 + i), %(\groups*\form\()_BYTES)
        .set i, i + 1
        .endr
        .endm

        .macro ADVANCE base, bytes
        add r\base, \bytes
        .endm

        .macro POINT base, previous
        lea r\base, [r\previous + r14]
        .endm

        .macro i8_CONSTANTS pixels, vectors
        mov ecx, 0x80808080
        vpbroadcastd zmm31, ecx
        .endm

        .macro FACTORS pixels, vectors
        mov rcx, [rdi + TASK_FACTORS]
        .set i, 0
        .rept \vectors
        LOAD %(\pixels*\vectors + i), rcx, %(i*64)
        .set i, i + 1
        .endr
        .endm

        .macro i8b_CONSTANTS pixels, vectors
        FACTORS \pixels, \vectors
        .endm

        .macro i8b2_CONSTANTS pixels, vectors
        FACTORS \pixels, \vectors
        .endm

        .macro i8b4_CONSTANTS pixels, vectors
        FACTORS \pixels, \vectors
        .endm

        .macro KERNEL form, pixels, vectors
        .globl tf_signbin_dense_\form\()_p\pixels\()f\vectors
        .hidden tf_signbin_dense_\form\()_p\pixels\()f\vectors
        .type tf_signbin_dense_\form\()_p\pixels\()f\vectors, @function
        .p2align 6
tf_signbin_dense_\form\()_p\pixels\()f\vectors:
        endbr64
        push rbx
        push r12
        push r13
        push r14
        mov rax, [rdi + TASK_PIXEL_BYTES]
        lea r14, [rax + rax*2]
        mov rdx, [rdi + TASK_WEIGHTS]
        mov rsi, [rdi + TASK_TAPS]
        mov rbx, [rdi + TASK_TAP_COUNT]
        \form\()_CONSTANTS \pixels, \vectors
        mov rcx, [rdi + TASK_PARTIAL]
        test rcx, rcx
        jz 6f
        .set i, 0
        .rept \pixels*\vectors
        LOAD %i, rcx, %(i * 64)
        .set i, i + 1
        .endr
        jmp 1f
6:      mov rcx, [rdi + TASK_BIAS]
        .set i, 0
        .rept \pixels*\vectors
        LOAD %i, rcx, %(i % \vectors * 64)
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
2:      GROUPS \form, \pixels, \vectors, BLOCK_GROUPS
        dec rcx
        jnz 2b
3:      mov rcx, [rdi + TASK_TAIL_GROUPS]
        test rcx, rcx
        jz 5f
4:      GROUPS \form, \pixels, \vectors, 1
        dec rcx
        jnz 4b
5:      dec rbx
        jnz 1b
        mov rcx, [rdi + TASK_OUT]
        .set i, 0
        .rept \pixels*\vectors
        STORE %i
        .set i, i + 1
        .endr
        pop r14
        pop r13
        pop r12
        pop rbx
        vzeroupper
        ret
        .size tf_signbin_dense_\form\()_p\pixels\()f\vectors, . - tf_signbin_dense_\form\()_p\pixels\()f\vectors
        .endm

// Every shape the planner may ask for (dense_kernels.h lists the same).
        .irp form, i8, i8b, i8b2, i8b4
        .irp pixels, 1, 2, 3
        KERNEL \form, \pixels, 4
        .endr
        .irp pixels, 1, 2, 3, 4, 5, 6, 7, 8
        KERNEL \form, \pixels, 2
        .endr
        .irp pixels, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
        KERNEL \form, \pixels, 1
        .endr
        .endr
        .irp form, i8, i8b
        .irp pixels, 9, 10, 11, 12
        KERNEL \form, \pixels, 2
        .endr
        .endr

        .section .note.GNU-stack,"",@progbits
