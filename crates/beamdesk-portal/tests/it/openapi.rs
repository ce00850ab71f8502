//! The document and the file from which the pages' client is made.

use beamdesk_portal::openapi;

#[test]
fn the_file_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/openapi.json");
    let file = std::fs::read_to_string(path).unwrap();
    assert!(file == openapi(), "web/openapi.json is old; run `cargo xtask gen`");
}
