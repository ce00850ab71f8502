//! The one page for everything that `/connect` does not open: it tells nothing but the way back.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

/// `portal` comes from configuration, where it was checked to be an origin.
pub(crate) fn page(portal: Option<&str>) -> Response {
    let link = |text: &str| match portal {
        Some(origin) => format!("<p><a href=\"{origin}/\">{text}</a></p>"),
        None => String::new(),
    };
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Beamdesk</title>\n</head>\n\
         <body>\n<main>\n<h1>This link does not open a desktop</h1>\n\
         <p>It works once, for half a minute, in the browser that asked for it. \
         Press <em>Connect</em> again.</p>\n{}\n\
         <div lang=\"zh\">\n<h2>无法打开桌面</h2>\n\
         <p>该链接只能在发起请求的浏览器中、半分钟内使用一次。请重新点击“连接”。</p>\n{}\n</div>\n\
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
