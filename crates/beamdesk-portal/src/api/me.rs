//! One's own account.

use axum::extract::State;
use beamdesk_http::Json;
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::User,
        session::{Me, me},
    },
    app::users,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeMe {
    language: Option<Language>,
    theme: Option<Theme>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Language {
    En,
    Zh,
    /// What the browser asks for.
    #[serde(rename = "")]
    Browser,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Theme {
    System,
    Light,
    Dark,
}

impl ToSchema for Language {}

/// By hand: the derive takes an empty name for none.
impl utoipa::PartialSchema for Language {
    fn schema() -> RefOr<Schema> {
        let words = ObjectBuilder::new().schema_type(Type::String);
        words.enum_values(Some(["en", "zh", ""])).into()
    }
}

/// Changes what one prefers.
#[utoipa::path(patch, path = "/me", tag = "session", request_body = ChangeMe,
    responses((status = OK, body = Me), Errors))]
pub(super) async fn change_me(
    State(app): State<App>,
    User(actor): User,
    Json(body): Json<ChangeMe>,
) -> Answer<Json<Me>> {
    let language = body.language.map(|language| match language {
        Language::En => "en".to_owned(),
        Language::Zh => "zh".to_owned(),
        Language::Browser => String::new(),
    });
    let theme = body.theme.map(|theme| match theme {
        Theme::System => "system".to_owned(),
        Theme::Light => "light".to_owned(),
        Theme::Dark => "dark".to_owned(),
    });
    users::prefer(&app, &actor, language, theme).await?;
    Ok(Json(me(&app, actor.user).await?))
}
