# Recipes for whoever works on Sincro; `./just` runs them without anything installed but Rust.
# Each installs what it needs and is missing, and stops what it started.

set positional-arguments

target := env_var_or_default("CARGO_TARGET_DIR", justfile_directory() / "target")

shell_scripts := "just .ci/run deploy/local/* crates/cli/src/local/leash.sh"

# Lists the recipes.
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list

# Installs redis-server, postgresql and make with the system's package manager where they are missing; starts nothing.
install-services:
    @deploy/local/install-services

# Shows a simulated channel of 1,000 contacts being synced, on private servers; takes the options of `sincro demo`.
demo *ARGS: install-services
    @cargo run --release --locked -p sincro-cli --bin sincro -- demo "$@"

# Runs API and worker on private servers, to connect a real gateway to; takes the options of `sincro dev`.
dev *ARGS: install-services
    @cargo run --release --locked -p sincro-cli --bin sincro -- dev "$@"

# Builds the programs and the tests, and runs these on private servers; the arguments go to `cargo test`. More threads than cores: many tests wait,
# and those that keep the machine busy take turns.
test *ARGS:
    @deploy/local/install-services --for-tests
    cargo build --locked --workspace --bins --tests
    @RUST_TEST_THREADS="${RUST_TEST_THREADS:-6}" {{ quote(target / "debug" / "sincro") }} services -- cargo test --locked --no-fail-fast "$@"

# Tells random histories of workers that die and a queue that forgets: `--seeds N` of them, or one step by step: `--seed N`.
simulate *ARGS: install-services
    cargo build --locked -p sincro-cli --bin sincro
    @deploy/local/simulate {{ quote(target / "debug" / "sincro") }} "$@"

# Checks format, lints, documentation, shell scripts and dependencies.
lint: && deny
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --workspace
    @if command -v shellcheck >/dev/null; then shellcheck {{ shell_scripts }}; else echo "shellcheck is not installed: scripts are not checked" >&2; fi

# Checks licences, sources, duplicates and advisories of the dependencies, if cargo-deny is installed.
deny:
    @deploy/local/check-dependencies

# Renews .sqlx, the committed descriptions of all queries, after a change to a query or a migration.
prepare: install-services
    @deploy/local/prepare-queries

# Fails if .sqlx is not what `prepare` would make of it.
prepare-check: install-services
    @deploy/local/prepare-queries --check

# Gives random bytes to one reader of what comes from outside, for so many seconds; needs a nightly toolchain and cargo-fuzz.
fuzz READER SECONDS="60":
    @mkdir -p tests/fuzz/corpus/{{ READER }}
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{ READER }} tests/fuzz/corpus/{{ READER }} tests/fuzz/seeds/{{ READER }} -- -max_total_time={{ SECONDS }}

# Lets Schemathesis try the served API by its description; takes the options of `schemathesis run`, needs python3.
try-api *ARGS: install-services
    cargo build --locked -p sincro-cli
    @deploy/local/try-api "$@"

# Runs a sync of a million jobs, and looks at the memory of Redis, worker and API before and after it: takes some minutes.
million: install-services
    cargo build --release --locked -p sincro-cli
    SINCRO_TEST_PERSONS=500000 {{ quote(target / "release" / "sincro") }} services -- cargo test --release --locked -p sincro-tests memory::redis_and -- --nocapture

# Measures Sincro beside what people use today, on private servers: --runs N, --only FIGURE, --quick for a try. All of it takes most
# of an hour; `publish` then puts what was measured into docs/performance.md.
bench *ARGS:
    @deploy/local/install-services --for-bench
    cargo build --release --locked -p sincro-cli --bin sincro
    cargo build --release --locked --manifest-path benches/peers/apalis/Cargo.toml --target-dir {{ quote(target / "bench-apalis") }}
    cargo bench --locked -p sincro-benches --bench system -- "$@"

# Times the pure parts with criterion; takes a part of a name.
bench-pure *ARGS:
    cargo bench --locked -p sincro-benches --bench pure -- "$@"

# Counts with callgrind what a claim takes in the model of the queue, and fails where that is over the budget.
bench-instructions:
    @deploy/local/install-services --for-bench
    cargo bench --locked -p sincro-benches --bench instructions

# Lets everything go wrong at random while syncs run, then checks that nothing is lost or doubled: --seed N --minutes M.
chaos *ARGS: install-services
    @deploy/local/chaos "$@"

# Lets an older version begin a sync and this one take over, on private servers: a commit or tag is the older one.
upgrade-check OLD_REV: install-services
    @deploy/local/upgrade-check "$1"

# Does what the continuous integration does.
ci:
    @.ci/run
