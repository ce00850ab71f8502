//! SR-19: a redirect leads to a plain path of this host and nowhere else.

use beamdesk_http::redirect::{is_internal, see_other};

#[test]
fn corpus() {
    let hosts = ["evil.org", "evil.org/", "evil.org/%2e%2e", "user@evil.org", "[::1]", "127.0.0.1"];
    let prefixes = [
        "",
        "//",
        "///",
        "////",
        "/\\",
        "\\\\",
        "\\/",
        "/\\/",
        "http:",
        "https:",
        "http://",
        "https://",
        "https:/",
        "HTTPS://",
        "ftp://",
        "javascript://",
        "data://",
        "/ /",
        "/\t/",
        "/\n/",
        "/%09/",
        "/%2f",
        "/%2F%2f",
        "/%5c",
        "/.//",
        "/..//",
        "/./",
        "/../",
        "/;@",
        "/@",
        "/?u=//",
        "/#//",
        ".",
        "@",
        " //",
        "\u{b}//",
        "\u{2028}//",
        "//\u{ff0f}",
        "/\u{ff0f}",
    ];
    let mut corpus: Vec<String> = prefixes
        .iter()
        .flat_map(|prefix| hosts.iter().map(move |host| format!("{prefix}{host}")))
        .collect();
    corpus.extend(
        [
            "",
            " ",
            "/a b",
            "/a\r\nset-cookie: x=y",
            "/a\rb",
            "/a\nb",
            "/a\0b",
            "/%0d%0aset-cookie:x",
            "/..",
            "/../",
            "/d/..",
            "/d/.",
            "/d/../x",
            "/d/%2e%2e/x",
            "/d//x",
            "/d/",
            "/.well-known/x",
            "/d/x?next=https://evil.org",
            "/d/x#frag",
            "/d/ä",
            "/d/x;y",
            "/d/x:y",
            "/d/x@y",
            "/d/x,y",
            "//example.com/%2f%2e%2e",
            "//vnc.example.org/%2f..",
            "d/x",
            "?x",
            "#x",
            "*",
            "javascript:alert(1)",
            "/d/\u{202e}x",
            "/<script>",
            "/\"x",
            "/'x",
            "/d/x'",
            "/d/(x)",
            "/d/x%",
            "/d/%",
            "/d/*",
        ]
        .map(str::to_owned),
    );
    corpus.push(format!("/{}", "a".repeat(600)));
    assert!(corpus.len() >= 100, "{}", corpus.len());
    for path in &corpus {
        let is_plain_host = path.starts_with('/') && path.len() > 1 && is_internal(path);
        assert!(!is_plain_host, "{path:?}");
        assert!(see_other(path).is_none(), "{path:?}");
    }
    for good in ["/", "/d/01900000-0000-7000-8000-000000000001", "/desktops/new", "/a.b_c-d"] {
        let response = see_other(good).unwrap();
        assert_eq!(response.status(), 303);
        assert_eq!(response.headers()["location"], good);
    }
}
