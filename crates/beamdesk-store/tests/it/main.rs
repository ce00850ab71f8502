//! What the store promises, on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod postgres;
mod sqlite;
mod suite;
mod world;

/// Names every case of the suite once; `$use` is a macro that does something with the list.
///
/// Each case is an async function that gets a store of its own.
macro_rules! store_suite {
    ($use:ident) => {
        $use! {
            agents::a_desktop_that_is_not_meant_to_run_has_no_agent_but_may_again,
            agents::a_seeds_secret_is_for_one_desktop_and_generation_for_a_while,
            agents::a_seeds_secret_makes_one_key_the_desktops_however_many_try,
            agents::a_start_keeps_the_key_and_another_server_ends_it,
            agents::after_a_restore_a_newer_certificate_is_believed_and_no_older,
            audit::events_come_newest_first_and_in_pages,
            claims::a_card_is_shared_up_to_the_whole_and_no_further,
            claims::a_claim_comes_back_and_goes,
            claims::a_claim_on_an_old_look_takes_nothing,
            claims::no_claim_is_made_on_a_node_that_is_out_of_use,
            claims::of_64_who_want_the_last_card_one_gets_it_1000_times,
            constraints::cross_owner_insert_rejected,
            desktops::a_desktop_comes_back_as_it_was_saved,
            desktops::a_forgotten_desktop_is_in_no_list,
            desktops::exactly_one_of_many_writers_wins,
            desktops::lists_come_in_pages,
            desktops::the_quota_holds_when_many_ask_at_once,
            enrolments::a_secret_lets_so_many_in_and_for_so_long,
            identities::a_first_login_from_many_places_makes_one_account,
            identities::a_logout_token_is_used_once,
            identities::a_person_is_issuer_and_subject_whatever_the_name,
            identities::a_provider_ends_the_sessions_that_stand_on_its_own,
            identities::stations_are_those_of_the_last_login,
            identities::who_left_the_group_has_its_role_no_more,
            leader::an_earlier_leader_writes_nothing,
            leader::of_many_who_want_to_lead_one_does,
            leader::one_leads_until_its_time_is_over,
            leases::a_gateway_speaks_for_its_own_streams_only,
            leases::a_stream_ends_with_what_it_hangs_on,
            leases::watching_keeps_a_session_but_not_past_its_end,
            nodes::a_node_in_use_is_not_forgotten,
            nodes::a_quarantine_is_lifted_or_heals,
            nodes::a_record_comes_back_as_it_was_put,
            nodes::an_older_report_does_not_overwrite_a_newer,
            nodes::maintenance_needs_no_monitor,
            nodes::the_last_day_is_kept_in_points_of_five_minutes,
            offers::a_size_in_use_stays,
            offers::sizes_and_images_come_back_as_they_were_put,
            offers::sizes_are_seeded_once,
            recordings::a_gateway_that_lost_its_files_is_believed_but_for_fresh_ones,
            recordings::a_play_goes_on_as_long_as_its_session_and_its_right,
            recordings::a_policy_of_off_ends_what_goes_on,
            recordings::a_recording_begins_by_policy_for_a_live_stream_of_its_gateway,
            recordings::a_recordings_ticket_opens_it_once_for_who_may,
            recordings::a_removed_recording_is_gone_for_people_at_once_and_then_for_all,
            recordings::recordings_come_newest_first_and_in_pages,
            recordings::there_are_only_so_many_tickets_for_recordings,
            recordings::what_a_gateway_says_is_written_down_once,
            reservations::a_station_in_use_stays,
            reservations::reservations_come_in_order_and_only_so_many,
            reservations::the_past_of_desktops_can_be_read,
            sessions::a_session_lives_until_it_is_ended,
            cloud_notes::a_word_of_the_cloud_is_kept_while_there_is_one,
            settings::a_setting_is_replaced_and_removed,
            setup::a_token_makes_one_administrator,
            setup::of_many_at_once_one_sets_up,
            streams::a_copied_handle_ends_the_stream,
            streams::a_handle_moves_on_with_each_use,
            streams::a_stream_goes_on_at_a_peer_of_its_gateway_and_at_no_other,
            streams::resumes_are_counted,
            sweep::what_is_over_is_removed_and_nothing_else,
            tickets::a_refused_ticket_is_burned,
            tickets::a_ticket_is_good_at_peers_of_its_gateway,
            tickets::a_ticket_dies_by_the_databases_clock,
            tickets::a_ticket_opens_one_stream_however_many_try,
            tickets::there_are_only_so_many_tickets,
            users::a_name_is_taken_once,
            users::a_user_comes_back_as_changed,
            users::somebody_stays_administrator,
            users::what_changes_ones_powers_ends_ones_sessions,
        }
    };
}
pub(crate) use store_suite;
