//! What is in which package.

/// One Debian package; its own fields and scripts are in `deploy/debian/<name>`.
pub(super) struct Package {
    pub(super) name: &'static str,
    /// Of the build, for `/usr/bin`.
    pub(super) programs: &'static [&'static str],
    /// From the repository, to below `/`. What goes to an `sbin` may be run.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Manual pages in `deploy/man`, with their sections.
    pub(super) manuals: &'static [(&'static str, &'static str)],
}

pub(super) const PACKAGES: &[Package] = &[
    Package {
        name: "beamdesk",
        programs: &["beamdesk"],
        files: &[
            (
                "deploy/systemd/beamdesk-portal.service",
                "lib/systemd/system/beamdesk-portal.service",
            ),
            (
                "deploy/systemd/beamdesk-gateway.service",
                "lib/systemd/system/beamdesk-gateway.service",
            ),
            ("deploy/sysusers.conf", "usr/lib/sysusers.d/beamdesk.conf"),
            ("deploy/tmpfiles.conf", "usr/lib/tmpfiles.d/beamdesk.conf"),
            ("deploy/etc/portal.toml", "usr/share/doc/beamdesk/examples/portal.toml"),
            ("deploy/etc/gateway.toml", "usr/share/doc/beamdesk/examples/gateway.toml"),
            ("deploy/etc/clouds.yaml", "usr/share/doc/beamdesk/examples/clouds.yaml"),
            ("deploy/haproxy/haproxy.cfg", "usr/share/doc/beamdesk/examples/haproxy.cfg"),
            (
                "deploy/openstack/nova-policy.yaml",
                "usr/share/doc/beamdesk/examples/nova-policy.yaml",
            ),
            (
                "deploy/openstack/placement-policy.yaml",
                "usr/share/doc/beamdesk/examples/placement-policy.yaml",
            ),
            (
                "deploy/openstack/glance-policy.yaml",
                "usr/share/doc/beamdesk/examples/glance-policy.yaml",
            ),
            ("docs/production.md", "usr/share/doc/beamdesk/production.md"),
            ("docs/openstack.md", "usr/share/doc/beamdesk/openstack.md"),
            ("docs/monitor.md", "usr/share/doc/beamdesk/monitor.md"),
            ("docs/nodes.md", "usr/share/doc/beamdesk/nodes.md"),
            ("docs/nova.md", "usr/share/doc/beamdesk/nova.md"),
        ],
        manuals: &[("beamdesk", "1")],
    },
    Package {
        name: "beamdesk-monitor",
        programs: &[],
        files: &[
            (
                "deploy/systemd/beamdesk-monitor.service",
                "lib/systemd/system/beamdesk-monitor.service",
            ),
            ("deploy/etc/monitor.env", "usr/share/doc/beamdesk-monitor/examples/monitor.env"),
        ],
        manuals: &[],
    },
    Package {
        name: "beamdesk-agent",
        programs: &["beamdesk-agent"],
        files: &[
            ("deploy/systemd/beamdesk-agent.service", "lib/systemd/system/beamdesk-agent.service"),
            ("deploy/agent-sysusers.conf", "usr/lib/sysusers.d/beamdesk-agent.conf"),
            ("deploy/agent-tmpfiles.conf", "usr/lib/tmpfiles.d/beamdesk-agent.conf"),
        ],
        manuals: &[("beamdesk-agent", "1")],
    },
    Package {
        name: "beamdesk-database",
        programs: &[],
        files: &[
            (
                "deploy/systemd/beamdesk-backup.service",
                "lib/systemd/system/beamdesk-backup.service",
            ),
            ("deploy/systemd/beamdesk-backup.timer", "lib/systemd/system/beamdesk-backup.timer"),
            ("deploy/database/beamdesk-backup", "usr/sbin/beamdesk-backup"),
            ("deploy/database/beamdesk-restore", "usr/sbin/beamdesk-restore"),
            (
                "deploy/postgresql/beamdesk.conf",
                "usr/share/doc/beamdesk-database/examples/beamdesk.conf",
            ),
        ],
        manuals: &[("beamdesk-backup", "8"), ("beamdesk-restore", "8")],
    },
];
