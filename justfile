# Verbs of daily work. `just` alone lists them.

default:
    @just --list

# The tests that a stranger runs.
test:
    cargo test --workspace

# What must hold before a change lands.
ci:
    .ci/run

# Replays one seed of the simulator and prints what happened: just sim 42 200
sim SEED NODES="30":
    cargo run --release -p starling-tests --example sim -- --seed {{SEED}} --nodes {{NODES}}

# The encryption against a second implementation, in both directions: just reference, or just reference 500 1
reference SEEDS="32" FIRST_SEED="1":
    tests/reference/run {{SEEDS}} {{FIRST_SEED}}

# The page in a real browser: just page, or just page search
page WORD="":
    tests/page/run {{WORD}}

# Real nodes on this machine, measured from start to recovery.
demo NODES="8":
    cargo build --release --workspace
    ./target/release/starling-testnet demo --nodes {{NODES}}

# Twenty kill -9 trials of the vault, and the tests that need root.
hard:
    .ci/root-stages

# Every figure of docs/benchmarks.md that comes from one process.
bench:
    cargo bench -p starling-relay
    cargo run --release -p starling-e2ee --example speed
    cargo run --release -p starling-store --example store_bench

# Fuzzes every target for ten minutes, or one for a while: just fuzz envelope 60
fuzz TARGET="all" SECONDS="600":
    cd tests/fuzz && ./run {{TARGET}} {{SECONDS}}
