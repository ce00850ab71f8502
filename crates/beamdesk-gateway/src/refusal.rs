//! The one page for everything that `/connect` does not open: it tells nothing but the way back.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

/// What the link was to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Desktop,
    Recording,
}

/// `portal` comes from configuration, where it was checked to be an origin.
pub(crate) fn page(of: Of, portal: Option<&str>) -> Response {
    let link = |text: &str| match portal {
        Some(origin) => format!("<p><a href=\"{origin}/\">{text}</a></p>"),
        None => String::new(),
    };
    let (title, press, title_zh, press_zh) = match of {
        Of::Desktop => ("a desktop", "Press <em>Connect</em> again.", "桌面", "请重新点击“连接”。"),
        Of::Recording => {
            ("a recording", "Press <em>Play</em> again.", "录像", "请重新点击“播放”。")
        }
    };
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Beamdesk</title>\n</head>\n\
         <body>\n<main>\n<h1>This link does not open {title}</h1>\n\
         <p>It works once, for half a minute, in the browser that asked for it. \
         {press}</p>\n{}\n\
         <div lang=\"zh\">\n<h2>无法打开{title_zh}</h2>\n\
         <p>该链接只能在发起请求的浏览器中、半分钟内使用一次。{press_zh}</p>\n{}\n</div>\n\
         </main>\n</body>\n</html>\n",
        link("Back to my desktops"),
        link("返回我的桌面"),
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}
