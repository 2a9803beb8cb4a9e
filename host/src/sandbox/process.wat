;; Five functions of wasi_snapshot_preview1 on top of unship:sandbox/process (wit/process.wit), without any memory but the
;; program's own. Blocks: 0 is the arguments, 1 the environment.
(module
  (import "env" "memory" (memory 0))
  (import "unship:sandbox/process" "exit" (func $exit (param $code i32)))
  (import "unship:sandbox/process" "count" (func $count (param $block i32) (result i32)))
  (import "unship:sandbox/process" "size" (func $size (param $block i32) (result i32)))
  (import "unship:sandbox/process" "word" (func $word (param $block i32) (param $offset i32) (result i64)))

  (func (export "proc_exit") (param $code i32)
    (call $exit (local.get $code))
    unreachable)

  (func (export "args_sizes_get") (param $count_at i32) (param $size_at i32) (result i32)
    (call $sizes (i32.const 0) (local.get $count_at) (local.get $size_at)))
  (func (export "environ_sizes_get") (param $count_at i32) (param $size_at i32) (result i32)
    (call $sizes (i32.const 1) (local.get $count_at) (local.get $size_at)))
  (func (export "args_get") (param $pointers i32) (param $bytes i32) (result i32)
    (call $get (i32.const 0) (local.get $pointers) (local.get $bytes)))
  (func (export "environ_get") (param $pointers i32) (param $bytes i32) (result i32)
    (call $get (i32.const 1) (local.get $pointers) (local.get $bytes)))

  (func $sizes (param $block i32) (param $count_at i32) (param $size_at i32) (result i32)
    (i32.store (local.get $count_at) (call $count (local.get $block)))
    (i32.store (local.get $size_at) (call $size (local.get $block)))
    (i32.const 0))

  ;; Copies the block to $bytes, and to $pointers the address of each string in it.
  (func $get (param $block i32) (param $pointers i32) (param $bytes i32) (result i32)
    (local $size i32) (local $offset i32) (local $word i64) (local $inside i32)
    (local.set $size (call $size (local.get $block)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $offset) (local.get $size)))
        (if (i32.eqz (i32.and (local.get $offset) (i32.const 7)))
          (then (local.set $word (call $word (local.get $block) (local.get $offset)))))
        (if (i32.eqz (local.get $inside))
          (then
            (i32.store (local.get $pointers) (i32.add (local.get $bytes) (local.get $offset)))
            (local.set $pointers (i32.add (local.get $pointers) (i32.const 4)))))
        (local.set $inside (i32.wrap_i64 (i64.and (local.get $word) (i64.const 255))))
        (i32.store8 (i32.add (local.get $bytes) (local.get $offset)) (local.get $inside))
        (local.set $word (i64.shr_u (local.get $word) (i64.const 8)))
        (local.set $offset (i32.add (local.get $offset) (i32.const 1)))
        (br $next)))
    (i32.const 0))
)
