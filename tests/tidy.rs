//! The architecture as a test: which room may know which, what a core must not touch, how long a
//! function and a file may be, and that every public item says what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Who may depend on whom. ARCHITECTURE.md draws the same table.
const ARROWS: &[(&str, &[&str])] = &[
    ("starling-wire", &[]),
    ("starling-e2ee", &[]),
    ("starling-relay", &["starling-wire"]),
    ("starling-messenger", &["starling-relay", "starling-e2ee", "starling-wire"]),
    ("starling-store", &["starling-messenger", "starling-relay", "starling-wire"]),
    ("starling-net", &["starling-wire"]),
    ("starling-api", &[]),
    (
        "starling",
        &[
            "starling-wire",
            "starling-e2ee",
            "starling-relay",
            "starling-messenger",
            "starling-store",
            "starling-net",
            "starling-api",
        ],
    ),
    ("starling-testnet", &["starling-api"]),
    (
        "starling-tests",
        &["starling-testnet", "starling-api", "starling-messenger", "starling-relay", "starling-e2ee", "starling-wire"],
    ),
];

/// Crates that do no input and output, read no clock and draw no random number of their own.
const CORES: &[&str] = &["crates/wire", "crates/e2ee", "crates/relay", "crates/messenger"];
/// Third-party crates that a core must not even name in its manifest.
const CORE_MUST_NOT_LINK: &[&str] =
    &["tokio", "libp2p", "libp2p-stream", "sled", "rustix", "ureq", "axum", "rand", "tracing", "tempfile", "mio"];
/// Paths that a core's source must not name.
const CORE_MUST_NOT_NAME: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "thread_rng",
    "rand::rng(",
    "OsRng",
    "SysRng",
];
/// A library that only one crate may link.
const ONE_OWNER: &[(&str, &str)] =
    &[("sled", "starling-store"), ("libp2p", "starling-net"), ("bincode", "starling-wire"), ("axum", "starling")];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
/// Longer ones, each with its reason. An entry that is no longer needed fails the test too.
const LONGER_FUNCTIONS: &[(&str, &str)] = &[];
const LONGER_FILES: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn metadata() -> cargo_metadata::Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata works in a built checkout")
}

/// Our sources, as (path from the root, text), tests and examples left out.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["crates", "node", "testnet", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "corpus", "fuzz"].contains(&name.as_str()) {
                collect(&path, files);
            }
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            files.push((relative, fs::read_to_string(&path).expect("a readable source")));
        }
    }
}

/// Whether a file is product code rather than a test, an example or a benchmark.
fn is_product(path: &str) -> bool {
    let beside = ["/tests/", "/examples/", "/benches/"];
    !path.starts_with("tests/") && !beside.iter().any(|part| path.contains(part)) && !path.ends_with("/tests.rs")
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        }
        _ => false,
    })
}

#[test]
fn arrows_point_down_only() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ARROWS.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    let metadata = metadata();
    let ours: BTreeSet<_> = metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(ours, allowed.keys().map(|name| (*name).to_owned()).collect(), "the rooms of the house");
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if ours.contains(to) {
                assert!(allowed[package.name.as_str()].contains(to), "{} must not know {to}", package.name);
            }
        }
    }
}

#[test]
fn each_large_library_has_one_owner() {
    for package in metadata().workspace_packages() {
        for dependency in &package.dependencies {
            for (library, owner) in ONE_OWNER {
                assert!(
                    dependency.name != *library || package.name.as_str() == *owner,
                    "{} must not link {library}",
                    package.name
                );
            }
        }
    }
}

#[test]
fn cores_have_no_input_output_clock_or_chance() {
    for package in metadata().workspace_packages() {
        let manifest = package.manifest_path.as_str();
        if !CORES.iter().any(|core| manifest.ends_with(&format!("{core}/Cargo.toml"))) {
            continue;
        }
        for dependency in package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal) {
            let name = dependency.name.as_str();
            assert!(!CORE_MUST_NOT_LINK.contains(&name), "{} must not link {name}", package.name);
        }
    }
    for (path, text) in sources().iter().filter(|(path, _)| is_product(path)) {
        if !CORES.iter().any(|core| path.starts_with(core)) {
            continue;
        }
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in CORE_MUST_NOT_NAME {
                assert!(!code.contains(name), "{path}:{}: a core must not use {name}", number + 1);
            }
        }
    }
}

#[test]
fn bincode_is_named_in_the_codec_alone() {
    for (path, text) in sources() {
        if path.starts_with("tests/") || path == "crates/wire/src/codec.rs" {
            continue;
        }
        for line in text.lines() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(!code.contains("bincode::"), "{path} names bincode");
        }
    }
}

/// Finds functions that are too long and public items without docs, tests left out.
struct Reader<'a> {
    path: &'a str,
    long: Vec<String>,
    undocumented: Vec<String>,
}

impl Reader<'_> {
    fn function(&mut self, name: &syn::Ident, body: &syn::Block) {
        let lines = body.span().end().line - body.span().start().line + 1;
        if lines > FUNCTION_LINES_MAX {
            self.long.push(format!("{}:{name} ({lines} lines)", self.path));
        }
    }

    fn documented(
        &mut self,
        name: &dyn std::fmt::Display,
        visibility: &syn::Visibility,
        attributes: &[syn::Attribute],
    ) {
        let docs = attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
        if matches!(visibility, syn::Visibility::Public(_)) && !docs {
            self.undocumented.push(format!("{}: {name}", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig.ident, &item.block);
            self.documented(&item.sig.ident, &item.vis, &item.attrs);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.block);
        self.documented(&item.sig.ident, &item.vis, &item.attrs);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.documented(&item.ident, &item.vis, &item.attrs);
        for field in &item.fields {
            if let Some(name) = &field.ident {
                self.documented(name, &field.vis, &field.attrs);
            }
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.documented(&item.ident, &item.vis, &item.attrs);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.documented(&item.ident, &item.vis, &item.attrs);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.documented(&item.ident, &item.vis, &item.attrs);
    }
}

#[test]
fn functions_are_short_and_public_items_say_what_they_are() {
    let mut long = Vec::new();
    let mut undocumented = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| is_product(path)) {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path} does not parse: {error}"));
        let mut reader = Reader { path, long: Vec::new(), undocumented: Vec::new() };
        reader.visit_file(&file);
        long.extend(reader.long);
        undocumented.extend(reader.undocumented);
    }
    let excused = |found: &String| LONGER_FUNCTIONS.iter().any(|(name, _)| found.starts_with(&format!("{name} ")));
    let unexcused: Vec<_> = long.iter().filter(|found| !excused(found)).collect();
    assert!(unexcused.is_empty(), "functions over {FUNCTION_LINES_MAX} lines: {unexcused:#?}");
    for (name, reason) in LONGER_FUNCTIONS {
        assert!(long.iter().any(|found| found.starts_with(&format!("{name} "))), "{name} is short now ({reason})");
    }
    assert!(undocumented.is_empty(), "public items without docs: {undocumented:#?}");
}

#[test]
fn files_are_short() {
    let mut long = BTreeSet::new();
    for (path, text) in sources().iter().filter(|(path, _)| is_product(path)) {
        let lines = product_lines(text);
        if lines > FILE_LINES_MAX {
            long.insert(path.clone());
            let excused = LONGER_FILES.iter().any(|(name, _)| name == path);
            assert!(excused, "{path} has {lines} lines without its tests; {FILE_LINES_MAX} are allowed");
        }
    }
    for (name, reason) in LONGER_FILES {
        assert!(long.contains(*name), "{name} is short now ({reason})");
    }
}

/// Lines of a file, its test modules left out.
fn product_lines(text: &str) -> usize {
    let file = syn::parse_file(text).expect("a source that compiles");
    let tests: usize = file
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if is_test(&module.attrs) => {
                Some(module.span().end().line - module.span().start().line + 1)
            }
            _ => None,
        })
        .sum();
    text.lines().count() - tests
}

/// The tests that `docs/attacks.md` names, as file and function.
fn named_tests(table: &str) -> Vec<(&str, &str)> {
    let spans = table.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

/// Whether `text` has a function `name` with an attribute that makes it a test; also inside of `proptest!`.
fn is_test_function(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.contains(&format!("fn {name}("))) else { return false };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

#[test]
fn every_attack_has_a_test_that_exists() {
    let table = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.contains("| test |")) {
        assert!(!named_tests(line).is_empty(), "no test in: {line}");
    }
    let missing: Vec<_> = named_tests(&table)
        .into_iter()
        .filter(|(file, name)| {
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            !is_test_function(&text, name)
        })
        .collect();
    assert!(missing.is_empty(), "docs/attacks.md names tests that do not exist: {missing:#?}");
}
