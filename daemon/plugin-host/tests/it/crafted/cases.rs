//! Sinks that load and then do harm in a call.

use super::text::Sink;

/// Where the harm is done.
#[derive(Clone, Copy, PartialEq)]
pub enum In {
    Check,
    Deliver,
}

/// A sink that does harm, and the errors that may come of it.
pub struct Case {
    pub name: &'static str,
    pub sink: Sink,
    pub call: In,
    pub codes: &'static [&'static str],
}

const LOG: &str = r#"(import "argus:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const PANICKED: &str =
    r#"(import "argus:plugin/log@0.1.0" "panicked" (func $panicked (param i32 i32)))"#;
const CLOCK: &str = r#"(import "argus:plugin/clock@0.1.0" "now-ms" (func $now (result i64)))"#;
const CONFIG: &str = r#"(import "argus:plugin/config@0.1.0" "json" (func $json (param i32)))"#;

/// A failure whose message lies at 100 with that many bytes; the code has none. Written where nothing else is.
const FAILURE: &str = "(func $failure (param $len i32) (result i32)
    (i32.store8 (i32.const 32) (i32.const 1))
    (i32.store (i32.const 36) (i32.const 0)) (i32.store (i32.const 40) (i32.const 0))
    (i32.store (i32.const 44) (i32.const 100)) (i32.store (i32.const 48) (local.get $len))
    (i32.const 32))";

pub const CASES: &[Case] = &[
    Case {
        name: "loops-in-start",
        sink: Sink {
            definitions: "(func $s (loop $l (br $l))) (start $s)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "traps-in-start",
        sink: Sink {
            definitions: "(func $s unreachable) (start $s)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "recurses-in-start",
        sink: Sink {
            definitions: "(func $s (call $s)) (start $s)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["stack_exhausted"],
    },
    Case {
        name: "loops",
        sink: Sink {
            check: "(loop $l (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "wants-4-gib",
        sink: Sink {
            memory: "65536",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["memory_exceeded"],
    },
    Case {
        name: "grows-to-4-gib",
        sink: Sink {
            check: "(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["memory_exceeded"],
    },
    Case {
        name: "storm-of-growing",
        sink: Sink {
            check: "(loop $l (drop (memory.grow (i32.const 1))) (drop (memory.grow (i32.const -1))) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded", "memory_exceeded"],
    },
    Case {
        // One instruction writes 30 MB and cannot be interrupted; the clock is looked at in between.
        name: "storm-of-filling",
        sink: Sink {
            memory: "460",
            check: "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 30000000)) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "storm-of-copying",
        sink: Sink {
            memory: "460",
            check: "(loop $l (memory.copy (i32.const 0) (i32.const 100) (i32.const 30000000)) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "huge-table",
        sink: Sink {
            definitions: "(table 100000000 funcref)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &[
            "trapped",
            "memory_exceeded",
            "not_loaded",
            "unlinkable",
            "not_a_component",
        ],
    },
    Case {
        name: "storm-of-tables",
        sink: Sink {
            definitions: "(table $t 1 funcref)",
            check: "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "huge-frames",
        sink: Sink {
            definitions: "(func $r (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64)
                (i64.add (call $r (i64.add (local.get 0) (i64.const 1))) (local.get 0)))",
            check: "(drop (call $r (i64.const 0))) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["stack_exhausted"],
    },
    Case {
        name: "divides-by-zero",
        sink: Sink {
            check: "(i32.div_s (i32.const 1) (i32.const 0))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "calls-nothing",
        sink: Sink {
            definitions: "(table 1 funcref) (type $f (func (result i32)))",
            check: "(call_indirect (type $f) (i32.const 0))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "result-nowhere",
        sink: Sink {
            check: "(i32.const -8)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "result-askew",
        sink: Sink {
            check: "(i32.const 3)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "result-of-no-kind",
        sink: Sink {
            check: "(i32.store8 (i32.const 0) (i32.const 7)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "message-beyond-memory",
        sink: Sink {
            definitions: FAILURE,
            check: "(call $failure (i32.const 2000000000))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped", "too_much_data"],
    },
    Case {
        name: "message-of-all-memory",
        sink: Sink {
            memory: "400",
            definitions: FAILURE,
            check: "(call $failure (i32.const 26000000))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["too_much_data"],
    },
    Case {
        name: "message-not-utf8",
        sink: Sink {
            definitions: FAILURE,
            check: "(i64.store (i32.const 100) (i64.const -1)) (call $failure (i32.const 8))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        // A long message of control characters is cut and cleaned, not refused: it is an error like any other.
        name: "message-of-controls",
        sink: Sink {
            definitions: FAILURE,
            check: "(call $failure (i32.const 60000))",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["plugin_error"],
    },
    Case {
        name: "arguments-nowhere",
        sink: Sink {
            realloc: "(i32.const -16)",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["trapped"],
    },
    Case {
        name: "arguments-askew",
        sink: Sink {
            realloc: "(i32.const 65537)",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["trapped"],
    },
    Case {
        name: "allocator-loops",
        sink: Sink {
            realloc: "(loop $l (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "allocator-traps",
        sink: Sink {
            realloc: "unreachable",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["trapped"],
    },
    Case {
        name: "allocator-calls-out",
        sink: Sink {
            imports: CLOCK,
            realloc: "(drop (call $now)) (i32.const 65536)",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["trapped"],
    },
    Case {
        name: "allocator-recurses-by-config",
        sink: Sink {
            imports: CONFIG,
            realloc: "(call $json (i32.const 64)) (i32.const 65536)",
            ..Sink::GOOD
        },
        call: In::Deliver,
        codes: &["trapped"],
    },
    Case {
        name: "cleans-up-for-ever",
        sink: Sink {
            definitions: r#"(func (export "cabi_post_argus:plugin/delivery@0.1.0#check") (param i32) (loop $l (br $l)))"#,
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "cleans-up-badly",
        sink: Sink {
            definitions: r#"(func (export "cabi_post_argus:plugin/delivery@0.1.0#check") (param i32) unreachable)"#,
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "logs-without-end",
        sink: Sink {
            imports: LOG,
            check: "(loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 0)) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["log_flood"],
    },
    Case {
        name: "logs-a-giant",
        sink: Sink {
            imports: LOG,
            memory: "460",
            check: "(call $log (i32.const 0) (i32.const 0) (i32.const 30000000)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["too_much_data", "log_flood"],
    },
    Case {
        name: "logs-beyond-memory",
        sink: Sink {
            imports: LOG,
            check: "(call $log (i32.const 0) (i32.const 131000) (i32.const 5000)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "logs-at-no-level",
        sink: Sink {
            imports: LOG,
            check: "(call $log (i32.const 99) (i32.const 0) (i32.const 1)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "logs-no-utf8",
        sink: Sink {
            imports: LOG,
            check: "(i32.store (i32.const 0) (i32.const -1))
                    (call $log (i32.const 0) (i32.const 0) (i32.const 4)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
    Case {
        name: "panics-without-end",
        sink: Sink {
            imports: PANICKED,
            check: "(loop $l (call $panicked (i32.const 0) (i32.const 60000)) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["panicked"],
    },
    Case {
        name: "asks-the-time-for-ever",
        sink: Sink {
            imports: CLOCK,
            check: "(loop $l (drop (call $now)) (br $l)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["compute_exceeded"],
    },
    Case {
        name: "settings-into-nowhere",
        sink: Sink {
            imports: CONFIG,
            check: "(call $json (i32.const -4)) (i32.const 0)",
            ..Sink::GOOD
        },
        call: In::Check,
        codes: &["trapped"],
    },
];
