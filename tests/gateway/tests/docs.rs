//! What the documentation shows is what there is.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The content of the only code block in `language`.
fn code_block<'a>(page: &'a str, language: &str) -> &'a str {
    let opening = format!("\n```{language}\n");
    let blocks: Vec<_> = page.split(&opening).skip(1).collect();
    let [block] = blocks[..] else { panic!("{} blocks of {language}", blocks.len()) };
    let end = block.find("\n```\n").expect("a block that is opened is closed");
    &block[..=end]
}

#[test]
fn the_page_on_backends_shows_the_node_example_as_it_is() {
    assert_eq!(code_block(&read("docs/backends.md"), "js"), read("docs/examples/backend.js"));
}

#[test]
fn the_page_on_backends_shows_the_python_example_as_it_is() {
    assert_eq!(code_block(&read("docs/backends.md"), "python"), read("docs/examples/backend.py"));
}

#[test]
fn the_index_of_decisions_has_each_of_them_once() {
    let index = read("docs/decisions/README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/decisions");
    for entry in fs::read_dir(folder).expect("it is part of the repository") {
        let name =
            entry.expect("a directory can be listed").file_name().into_string().expect("names are ASCII");
        let times = index.matches(&format!("]({name})")).count();
        assert_eq!(times, usize::from(name != "README.md"), "{name}");
    }
}

#[test]
fn each_alert_has_its_section_in_the_runbooks_and_each_section_its_alert() {
    let page = read("docs/operation.md");
    let (_, runbooks) = page.split_once("\n# Runbooks\n").expect("it has runbooks");
    let mut sections: Vec<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let rules = read("docs/operation/alerts.yml");
    let links = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: docs/operation.md#"));
    let mut linked: Vec<String> = links.map(str::to_owned).collect();
    assert_eq!(rules.matches("- alert: ").count(), linked.len());
    sections.sort_unstable();
    linked.sort_unstable();
    assert_eq!(linked, sections);
}

/// As GitHub names a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}
