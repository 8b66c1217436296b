// Register-permute microkernels for AVX-512BW (x86-64, System V ABI); type i8b needs VBMI.
//
// A microkernel computes P output pixels times F vectors of filters (32 int16 or 16 float32 filters
// a vector) over some taps and channel groups. The accumulators stay in registers throughout. For
// each input pixel and group one register A, or two, A and B, hold a table of partial sums, and one
// permutation looks the group's entry up for all filters of a vector at once: VPERMW/VPERMPS in one
// register, VPERMI2W/VPERMI2PS in two.
//
// Hand-written because register allocation is the kernel (compilers spill accumulators here) and
// because two things limit it that only the instruction sequence shows (docs/performance.md):
//  * vector instructions issued. VPERMI2 overwrites its index, so it takes a copy; where a register
//    dies anyway it is overwritten instead: the last lookup in a table is a VPERMT2 onto A, the last
//    use of an index vector a VPERMI2 onto it. VPERMW needs no copy at all.
//  * ports. Two permutations are issued before their two additions: in turn one by one, Zen 4 sends
//    additions to the permutations' ports and takes a third longer. Type i8s adds with VPADDSW, which
//    leaves those ports alone on Zen 5 (the sums never saturate, permute_plan.h), and so does i8b on
//    Intel's cores, where moreover VPERMW is two instructions inside and VPERMB, with an index of two
//    bytes, one. Float sums alternate between VADDPS and an FMA with 1.0, the same result on other
//    ports.
//
//   void name(const PermuteTask* task);          see permute_kernels.h
//
// Names: tf_signbin_permute_<type>_r<table registers>_t<taps>_p<P>f<F>. With t3, three horizontally
// adjacent taps share each table (stride 1, dilation 1); with t1, each tap reads its own.

        .intel_syntax noprefix
        .altmacro
        .text

// Offsets into PermuteTask.
        .set TASK_TAPS, 0
        .set TASK_TAP_COUNT, 8
        .set TASK_BLOCKS, 16
        .set TASK_TAIL_GROUPS, 24
        .set TASK_COLUMN_BYTES, 32
        .set TASK_INDICES, 40
        .set TASK_OUT, 48

// A lane of an index vector holds one byte a group (i8b: one group, in both bytes; the permutations
// ignore the bits above an index): group j's indices come to the low bits by loading j bytes further
// on. A shift would take one of the permutation's ports; a load is free.
        .macro LOAD_INDEX reg, vector, group
        vmovdqu64 zmm\reg, [rdx + \vector*64 + \group]
        .endm

        .macro SUM type, acc, value
        .ifc \type,i8
        vpaddw zmm\acc, zmm\acc, zmm\value
        .endif
        .ifc \type,i8s
        vpaddsw zmm\acc, zmm\acc, zmm\value
        .endif
        .ifc \type,i8b
        vpaddsw zmm\acc, zmm\acc, zmm\value
        .endif
        .ifc \type,f32
        .set adds, adds + 1
        .if adds % float_adds
        vaddps zmm\acc, zmm\acc, zmm\value
        .else
        vfmadd231ps zmm\acc, zmm\value, zmm31
        .endif
        .endif
        .endm

// acc += value, put off until the next permutation has been issued.
        .macro ACCUMULATE type, acc, value
        .if pending_acc < 0
        .set pending_acc, \acc
        .set pending_value, \value
        .else
        FLUSH_PENDING \type
        SUM \type, \acc, \value
        .endif
        .endm

        .macro FLUSH_PENDING type
        .if pending_acc >= 0
        SUM \type, %pending_acc, %pending_value
        .set pending_acc, -1
        .set pending_value, -1
        .endif
        .endm

// tmp or the register that dies = table[index].
        .macro PERMUTE type, target, operands:vararg
        .ifc \type,f32
        v\target\()ps \operands
        .else
        .ifc \type,i8b
        v\target\()b \operands
        .else
        v\target\()w \operands
        .endif
        .endif
        .endm

// acc += table[index]. dies: 0 none, 1 the table, 2 the index vector.
        .macro LOOKUP type, regs, acc, index, tmp, a, b, dies
        .if pending_value == \tmp  // one register alone for temporaries
        FLUSH_PENDING \type
        .endif
        .if \regs == 1
        PERMUTE \type, perm, zmm\tmp, zmm\index, zmm\a
        ACCUMULATE \type, \acc, \tmp
        .elseif \dies == 1
        PERMUTE \type, permt2, zmm\a, zmm\index, zmm\b
        ACCUMULATE \type, \acc, \a
        .elseif \dies == 2
        PERMUTE \type, permi2, zmm\index, zmm\a, zmm\b
        ACCUMULATE \type, \acc, \index
        .else
        vmovdqa64 zmm\tmp, zmm\index
        PERMUTE \type, permi2, zmm\tmp, zmm\a, zmm\b
        ACCUMULATE \type, \acc, \tmp
        .endif
        .endm

// zmm<reg> = a register of column c's table at byte offset disp; r8, r9, ... r13 point at columns 0, 3, ... 15.
        .macro LOAD_TABLE reg, c, disp
        .if \c % 3 == 0
        LOAD_AT \reg, %(8 + \c / 3), 0, \disp
        .elseif \c % 3 == 1
        LOAD_AT \reg, %(8 + \c / 3), 1, \disp
        .else
        LOAD_AT \reg, %(8 + \c / 3), 2, \disp
        .endif
        .endm

        .macro LOAD_AT reg, base, scale, disp
        .if \scale == 0
        vmovdqa64 zmm\reg, [r\base + \disp]
        .else
        vmovdqa64 zmm\reg, [r\base + rax*\scale + \disp]
        .endif
        .endm

// All lookups of one channel group: every column's table, loaded once, serves the TAPS taps that
// meet it. The registers above accumulators and index vectors hold tables and temporaries in turn.
        .macro GROUP type, regs, taps, pixels, vectors, group
        .set first_free, \pixels*\vectors + \taps*\vectors
        .set registers, 32
        .ifc \type,f32
        .set registers, 31
        .endif
// Registers in turn for tables: two tables' worth where that leaves temporaries enough.
        .set tables, \regs
        .if registers - first_free >= 2*\regs + 2
        .set tables, 2*\regs
        .endif
        .set temporary, 0
        .set column, 0
        .rept \pixels + \taps - 1
        .set reg_a, first_free + (\regs*column) % tables
        .if pending_value == reg_a
        FLUSH_PENDING \type
        .endif
        LOAD_TABLE %reg_a, %column, %(\group*\regs*64)
        .if \regs == 2
        LOAD_TABLE %(reg_a + 1), %column, %(\group*128 + 64)
        .endif
// Taps that meet this column: tap t reaches pixel column - t.
        .set t_low, column - \pixels + 1
        .if t_low < 0
        .set t_low, 0
        .endif
        .set t_high, column
        .if t_high > \taps - 1
        .set t_high, \taps - 1
        .endif
        .set t, t_low
        .rept t_high - t_low + 1
        .set v, 0
        .rept \vectors
        .set tmp_reg, first_free + tables + temporary % (registers - first_free - tables)
        .set temporary, temporary + 1
        .set dies, 0
        .if column - t == \pixels - 1
        .set dies, 2
        .endif
        .if (t == t_high) && (v == \vectors - 1)
        .set dies, 1
        .endif
        LOOKUP \type, \regs, %((column - t)*\vectors + v), %(\pixels*\vectors + t*\vectors + v), %tmp_reg, %reg_a, %(reg_a + 1), %dies
        .set v, v + 1
        .endr
        .set t, t + 1
        .endr
        .set column, column + 1
        .endr
        FLUSH_PENDING \type
        .endm

// `groups` channel groups whose indices share one set of index vectors.
        .macro BLOCK type, regs, taps, pixels, vectors, groups
        .set group, 0
        .rept \groups
        .set i, 0
        .rept \taps*\vectors
        LOAD_INDEX %(\pixels*\vectors + i), %i, %group
        .set i, i + 1
        .endr
        GROUP \type, \regs, \taps, \pixels, \vectors, %group
        .set group, group + 1
        .endr
        add rdx, \taps*\vectors*64
        .endm

        .macro ZERO reg
        vpxord zmm\reg, zmm\reg, zmm\reg
        .endm

        .macro STORE reg
        vmovdqa64 [rcx + \reg*64], zmm\reg
        .endm

        .macro ADVANCE bytes, columns
        add r8, \bytes
        .if \columns > 3
        add r9, \bytes
        .endif
        .if \columns > 6
        add r10, \bytes
        .endif
        .if \columns > 9
        add r11, \bytes
        .endif
        .if \columns > 12
        add r12, \bytes
        add r13, \bytes
        .endif
        .endm

// The last, partial index word of a tap: 0 to word_groups - 1 groups.
        .macro TAIL type, regs, taps, pixels, vectors
        .if word_groups == 1
        .exitm
        .endif
        cmp qword ptr [rdi + TASK_TAIL_GROUPS], 1
        jb 5f
        .if word_groups == 4
        je 6f
        cmp qword ptr [rdi + TASK_TAIL_GROUPS], 2
        je 7f
        BLOCK \type, \regs, \taps, \pixels, \vectors, 3
        jmp 5f
7:      BLOCK \type, \regs, \taps, \pixels, \vectors, 2
        jmp 5f
        .endif
6:      BLOCK \type, \regs, \taps, \pixels, \vectors, 1
        .endm

        .macro KERNEL type, regs, taps, pixels, vectors
        .set word_groups, 2
        .ifc \type,f32
        .set word_groups, 4
        .endif
        .ifc \type,i8b
        .set word_groups, 1
        .endif
        .set adds, 0
        .set pending_acc, -1
        .set pending_value, -1
        .set float_adds, 1 + \regs
        .globl tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors
        .hidden tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors
        .type tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors, @function
        .p2align 6
tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors:
        endbr64
        push rbx
        .if \pixels + \taps > 13
        push r12
        push r13
        .endif
        mov rax, [rdi + TASK_COLUMN_BYTES]
        mov rdx, [rdi + TASK_INDICES]
        mov rcx, [rdi + TASK_OUT]
        mov rsi, [rdi + TASK_TAPS]
        mov rbx, [rdi + TASK_TAP_COUNT]
        .set i, 0
        .rept \pixels*\vectors
        ZERO %i
        .set i, i + 1
        .endr
        .ifc \type,f32
        mov r8d, 0x3f800000
        vpbroadcastd zmm31, r8d
        .endif
1:      mov r8, [rsi]
        add rsi, 8
        lea r9, [rax + rax*2]
        lea r10, [r8 + r9*2]
        lea r11, [r9 + r9*2]
        add r11, r8
        .if \pixels + \taps > 13
        lea r12, [r10 + r9*2]
        lea r13, [r11 + r9*2]
        .endif
        add r9, r8
        push rdi
        mov rdi, [rdi + TASK_BLOCKS]
        test rdi, rdi
        jz 3f
        .p2align 5
2:      BLOCK \type, \regs, \taps, \pixels, \vectors, %word_groups
        ADVANCE %(word_groups*\regs*64), %(\pixels + \taps - 1)
        dec rdi
        jnz 2b
3:      pop rdi
        TAIL \type, \regs, \taps, \pixels, \vectors
5:      dec rbx
        jnz 1b
        .set i, 0
        .rept \pixels*\vectors
        STORE %i
        .set i, i + 1
        .endr
        .if \pixels + \taps > 13
        pop r13
        pop r12
        .endif
        pop rbx
        vzeroupper
        ret
        .size tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors, . - tf_signbin_permute_\type\()_r\regs\()_t\taps\()_p\pixels\()f\vectors
        .endm

// Every shape the planner may ask for (permute_kernels.h lists the same).
        .macro SHAPES type, regs
        .irp pixels, 1, 2, 3, 4, 5, 6
        KERNEL \type, \regs, 1, \pixels, 4
        .endr
        .irp pixels, 4, 5, 6, 7, 8
        KERNEL \type, \regs, 3, \pixels, 2
        KERNEL \type, \regs, 1, \pixels, 2
        KERNEL \type, \regs, 3, \pixels, 1
        KERNEL \type, \regs, 1, \pixels, 1
        .endr
        KERNEL \type, \regs, 3, 16, 1
        KERNEL \type, \regs, 1, 16, 1
        KERNEL \type, \regs, 1, 1, 8
        .endm

        .irp type, i8, i8s, f32
        SHAPES \type, 1
        SHAPES \type, 2
        .endr
        SHAPES i8b, 1

        .section .note.GNU-stack,"",@progbits
