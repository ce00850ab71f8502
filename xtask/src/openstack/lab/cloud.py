"""What the lab's cloud is filled with, by its own API: `cloud.py catalog|populate|hosts|status FILE`.

FILE is a JSON document with what the lab was asked for; see `Wanted` in openstack/cloud.rs. Everything may be
repeated: what is there already is left alone.
"""
import json
import os
import sys
import time

from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3

KEYSTONE = 'http://127.0.0.1:5000/v3'
REGION = 'RegionOne'
NOVA_VERSION = '2.93'
PLACEMENT_VERSION = '1.39'
ENDPOINTS = {
    # service type: name, URL
    'compute': ('nova', 'http://127.0.0.1:8774/v2.1'),
    'network': ('neutron', 'http://127.0.0.1:9696'),
    'image': ('glance', 'http://127.0.0.1:9292'),
    'placement': ('placement', 'http://127.0.0.1:8778'),
}
SERVICE_USERS = ('nova', 'neutron', 'glance', 'placement')
PROJECT, STRANGERS = 'beamdesk', 'stranger'
PLACER, INVENTORY = 'heps_placer', 'heps_inventory'
PEOPLE = {
    # user: project, roles
    'beamdesk': (PROJECT, ('member', PLACER)),
    'beamdesk-inventory': (PROJECT, ('member', PLACER, INVENTORY)),
    'stranger': (STRANGERS, ('member',)),
}
# Those who also get an application credential, under their own name.
CREDENTIALS = ('beamdesk', 'beamdesk-inventory')
AGGREGATE = {'name': 'fake', 'metadata': {'kind': 'fake'}}
FAKE_ONLY = {'aggregate_instance_extra_specs:kind': 'fake'}
FLAVORS = {
    # name: vCPUs, MiB, GiB, extra specs
    'beamdesk-small': (1, 2048, 10, {}),
    'beamdesk-medium': (2, 4096, 20, {}),
    'beamdesk-large': (4, 16384, 50, {}),
    'lab-tiny': (1, 128, 1, FAKE_ONLY),
    'lab-gpu': (2, 2048, 10, {**FAKE_ONLY, 'pci_passthrough:alias': 'gpu:1'}),
}
# Loopback addresses: whoever plays the agents of fake servers needs no interface of its own. No DHCP, hence
# no work for each port.
FAKE_NETWORK = {'name': 'desktops', 'cidr': '127.77.0.0/16',
                'pools': [{'start': '127.77.1.1', 'end': '127.77.250.250'}]}
GUEST_NETWORK = {'name': 'guests', 'cidr': '10.77.0.0/24', 'gateway': '10.77.0.1',
                 'pools': [{'start': '10.77.0.50', 'end': '10.77.0.250'}]}
IMAGE = 'lab-image'
IMAGE_BYTES = 1 << 20
GUEST_IMAGE = 'beamdesk-debian-12'
# Hosts of a loaded machine take a second each to appear, and Nova looks for new ones every five.
HOSTS_WAIT_S = 420


class Api:
    """One service, with the words that all of them share."""

    def __init__(self, keystone, service_type, version=None):
        name = {'compute': 'compute', 'placement': 'placement'}.get(service_type)
        self.session = keystone
        self.base = KEYSTONE if service_type == 'identity' else ENDPOINTS[service_type][1]
        if service_type in ('network', 'image'):
            self.base += '/v2.0' if service_type == 'network' else '/v2'
        self.headers = {'OpenStack-API-Version': '%s %s' % (name, version)} if version else {}

    def call(self, method, path, body=None, **more):
        headers = {**self.headers, **more.pop('headers', {})}
        if body is not None:
            more['json'] = body
        answer = self.session.request(self.base + path, method, headers=headers, **more)
        return answer.json() if answer.content and 'json' in answer.headers.get('Content-Type', '') else None

    def find(self, path, kind, **query):
        """The first of a list, or None."""
        found = self.call('GET', path, params=query)[kind]
        return found[0] if found else None

    def ensure(self, path, kind, one, body, **query):
        return self.find(path, kind, **query) or self.call('POST', path, {one: body})[one]


def signed_in(user='admin', project='admin'):
    auth = v3.Password(
        KEYSTONE, username=user, password=os.environ['LAB_PASSWORD'], project_name=project,
        user_domain_id='default', project_domain_id='default')
    return session.Session(auth=auth)


def identity_parts(identity):
    """Projects, roles and users by name."""
    return {kind: {each['name']: each['id'] for each in identity.call('GET', '/' + kind)[kind]}
            for kind in ('projects', 'roles', 'users')}


def ensure_named(identity, known, kind, one, name, **more):
    if name not in known[kind]:
        known[kind][name] = identity.call('POST', '/' + kind, {one: {'name': name, **more}})[one]['id']
    return known[kind][name]


def grant(identity, known, user, project, roles):
    for role in roles:
        identity.call('PUT', '/projects/%s/users/%s/roles/%s' % (
            known['projects'][project], known['users'][user], known['roles'][role]))


def catalog(_wanted):
    """Users and endpoints of the services. They refuse to start without."""
    identity = Api(signed_in(), 'identity')
    known = identity_parts(identity)
    ensure_named(identity, known, 'projects', 'project', 'service', domain_id='default')
    ensure_named(identity, known, 'roles', 'role', 'service')
    for name in SERVICE_USERS:
        ensure_named(identity, known, 'users', 'user', name, domain_id='default',
                     password=os.environ['LAB_PASSWORD'])
        grant(identity, known, name, 'service', ('admin', 'service'))
    there = {each['type']: each['id'] for each in identity.call('GET', '/services')['services']}
    endpoints = {(each['service_id'], each['interface'])
                 for each in identity.call('GET', '/endpoints')['endpoints']}
    for kind, (name, url) in ENDPOINTS.items():
        service = there.get(kind) or identity.call(
            'POST', '/services', {'service': {'type': kind, 'name': name}})['service']['id']
        for interface in ('public', 'internal', 'admin'):
            if (service, interface) not in endpoints:
                identity.call('POST', '/endpoints', {'endpoint': {
                    'service_id': service, 'interface': interface, 'url': url, 'region_id': REGION}})


def populate(wanted):
    """People, networks, flavors and images; writes clouds.yaml and lab.json."""
    admin = signed_in()
    identity = Api(admin, 'identity')
    known = identity_parts(identity)
    for project in (PROJECT, STRANGERS):
        ensure_named(identity, known, 'projects', 'project', project, domain_id='default')
    for role in (PLACER, INVENTORY):
        ensure_named(identity, known, 'roles', 'role', role)
    for name, (project, roles) in PEOPLE.items():
        ensure_named(identity, known, 'users', 'user', name, domain_id='default',
                     password=os.environ['LAB_PASSWORD'])
        grant(identity, known, name, project, roles)
    network = Api(admin, 'network')
    # With quotas at -1 by configuration; the networks are everybody's.
    fakes = ensure_network(network, FAKE_NETWORK, {'provider:network_type': 'local'}, dhcp=False)
    guests = None
    if wanted['guest']:
        guests = ensure_network(network, GUEST_NETWORK, {
            'provider:network_type': 'flat', 'provider:physical_network': 'physnet1'}, dhcp=True)
    compute = Api(admin, 'compute', NOVA_VERSION)
    for name, (vcpus, memory, disk, specs) in FLAVORS.items():
        ensure_flavor(compute, name, vcpus, memory, disk, specs)
    image = Api(admin, 'image')
    ensure_image(image, IMAGE, {'disk_format': 'raw', 'beamdesk_image': 'debian-desktop'}, bytes(IMAGE_BYTES))
    aggregate(compute)
    if wanted.get('guest_files'):
        guest_images(image, wanted['guest_files'])
    write_clouds(wanted, known)
    lab = {
        'clouds_file': wanted['clouds_file'],
        'cloud': 'beamdesk',
        'auth_url': KEYSTONE,
        'region': REGION,
        'project': PROJECT,
        'project_id': known['projects'][PROJECT],
        'network': FAKE_NETWORK['name'],
        'network_id': fakes,
        'subnet_cidr': FAKE_NETWORK['cidr'],
        'image': IMAGE,
        'fake_hosts': wanted['hosts'],
        'fake_prefix': 'fake',
        'portal_ip': '127.0.0.1',
    }
    if wanted['guest']:
        lab.update({
            'libvirt_host': wanted['host'],
            'guest_network': GUEST_NETWORK['name'],
            'guest_network_id': guests,
            'portal_ip': GUEST_NETWORK['gateway'],
        })
        if wanted.get('guest_files'):
            lab['guest_image'] = GUEST_IMAGE
    write(wanted['lab_file'], json.dumps(lab, indent=2) + '\n', 0o644)


def ensure_network(network, about, provider, dhcp):
    made = network.ensure('/networks', 'networks', 'network', {
        'name': about['name'], 'shared': True, 'mtu': 1500, **provider}, name=about['name'])
    network.ensure('/subnets', 'subnets', 'subnet', {
        'name': about['name'], 'network_id': made['id'], 'ip_version': 4, 'cidr': about['cidr'],
        'gateway_ip': about.get('gateway'), 'allocation_pools': about['pools'], 'enable_dhcp': dhcp,
    }, network_id=made['id'])
    return made['id']


def ensure_flavor(compute, name, vcpus, memory, disk, specs):
    flavors = compute.call('GET', '/flavors', params={'is_public': 'None'})['flavors']
    if any(each['name'] == name for each in flavors):
        return
    made = compute.call('POST', '/flavors', {'flavor': {
        'id': name, 'name': name, 'vcpus': vcpus, 'ram': memory, 'disk': disk}})['flavor']
    if specs:
        compute.call('POST', '/flavors/%s/os-extra_specs' % made['id'], {'extra_specs': specs})


def ensure_image(image, name, about, content):
    found = image.find('/images', 'images', name=name)
    if found and found['status'] == 'active' and all(found.get(key) == about[key] for key in about):
        return found['id']
    if found:
        image.call('DELETE', '/images/%s' % found['id'])
    made = image.call('POST', '/images', {
        'name': name, 'container_format': 'bare', 'visibility': 'public', **about})
    data = content if isinstance(content, bytes) else open(content, 'rb')
    image.call('PUT', '/images/%s/file' % made['id'], data=data,
               headers={'Content-Type': 'application/octet-stream'})
    return made['id']


def guest_images(image, files):
    """Kernel and initrd beside the disk, so that no firmware has to load them under emulation."""
    kernel = ensure_image(image, GUEST_IMAGE + '-kernel', {
        'disk_format': 'aki', 'container_format': 'aki', 'lab_digest': files['digest']}, files['kernel'])
    initrd = ensure_image(image, GUEST_IMAGE + '-initrd', {
        'disk_format': 'ari', 'container_format': 'ari', 'lab_digest': files['digest']}, files['initrd'])
    ensure_image(image, GUEST_IMAGE, {
        'disk_format': 'qcow2', 'lab_digest': files['digest'], 'kernel_id': kernel, 'ramdisk_id': initrd,
        'os_command_line': files['command_line'], 'hw_rng_model': 'virtio', 'min_ram': 512,
        'beamdesk_image': 'debian-12',
    }, files['disk'])


def aggregate(compute):
    """The aggregate of the fake hosts: flavors that ask for it never land on a real one."""
    for each in compute.call('GET', '/os-aggregates')['aggregates']:
        if each['name'] == AGGREGATE['name']:
            return each
    made = compute.call('POST', '/os-aggregates', {'aggregate': {'name': AGGREGATE['name']}})['aggregate']
    compute.call('POST', '/os-aggregates/%d/action' % made['id'], {
        'set_metadata': {'metadata': AGGREGATE['metadata']}})
    return {**made, 'hosts': []}


def write_clouds(wanted, known):
    """JSON is YAML. An application credential's secret is told once, so the file is kept while it works."""
    credentials = kept_credentials(wanted['clouds_file'])
    clouds = {'admin': by_password('admin', 'admin')}
    for name, (project, _roles) in PEOPLE.items():
        entry = name + '-user' if name in CREDENTIALS else name
        clouds[entry] = by_password(name, project)
        if name in CREDENTIALS:
            clouds[name] = by_credential(credentials.get(name) or make_credential(name, project, known))
    write(wanted['clouds_file'], json.dumps({'clouds': clouds}, indent=2) + '\n', 0o600)


def by_password(user, project):
    return {'auth': {
        'auth_url': KEYSTONE, 'username': user, 'password': os.environ['LAB_PASSWORD'],
        'project_name': project, 'user_domain_id': 'default', 'project_domain_id': 'default',
    }, 'region_name': REGION, 'interface': 'public', 'identity_api_version': 3}


def by_credential(credential):
    return {'auth_type': 'v3applicationcredential', 'auth': {
        'auth_url': KEYSTONE, 'application_credential_id': credential['id'],
        'application_credential_secret': credential['secret'],
    }, 'region_name': REGION, 'interface': 'public', 'identity_api_version': 3}


def kept_credentials(path):
    try:
        with open(path, encoding='utf-8') as file:
            clouds = json.load(file)['clouds']
    except (OSError, ValueError, KeyError):
        return {}
    kept = {}
    for name in CREDENTIALS:
        auth = clouds.get(name, {}).get('auth', {})
        one = {'id': auth.get('application_credential_id'), 'secret': auth.get('application_credential_secret')}
        try:
            tried = v3.ApplicationCredential(
                KEYSTONE, application_credential_id=one['id'], application_credential_secret=one['secret'])
            session.Session(auth=tried).get_token()
        except (exceptions.ClientException, TypeError):
            continue
        kept[name] = one
    return kept


def make_credential(user, project, known):
    own = Api(signed_in(user, project), 'identity')
    path = '/users/%s/application_credentials' % known['users'][user]
    for each in own.call('GET', path)['application_credentials']:
        if each['name'] == user:
            own.call('DELETE', '%s/%s' % (path, each['id']))
    return own.call('POST', path, {'application_credential': {
        'name': user, 'description': 'the portal'}})['application_credential']


def hosts(wanted):
    """Waits until all fake hosts are up and known, and puts them into their aggregate."""
    compute = Api(signed_in(), 'compute', NOVA_VERSION)
    names = {'fake%03d' % number for number in range(1, wanted['hosts'] + 1)}
    awaited = names | ({wanted['host']} if wanted['guest'] else set())
    end = time.monotonic() + HOSTS_WAIT_S
    while True:
        services = compute.call('GET', '/os-services', params={'binary': 'nova-compute'})['services']
        up = {each['host'] for each in services if each['state'] == 'up'}
        known = {each['hypervisor_hostname']
                 for each in compute.call('GET', '/os-hypervisors')['hypervisors']}
        missing = {host for host in awaited if host not in up} | (names - known)
        if not missing:
            break
        if time.monotonic() > end:
            sys.exit('these hosts did not come up: %s' % ', '.join(sorted(missing)[:10]))
        time.sleep(1)
    group = aggregate(compute)
    for name in sorted(names - set(group['hosts'])):
        add_host(compute, group['id'], name, end)


def add_host(compute, group, name, end):
    """A host is in the list of hypervisors a moment before it is mapped to its cell."""
    while True:
        try:
            return compute.call('POST', '/os-aggregates/%d/action' % group, {'add_host': {'host': name}})
        except exceptions.NotFound:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def status(_wanted):
    """One line for each thing that a person asks about first."""
    compute = Api(signed_in(), 'compute', NOVA_VERSION)
    services = compute.call('GET', '/os-services')['services']
    down = [each['host'] for each in services if each['state'] != 'up']
    computes = [each for each in services if each['binary'] == 'nova-compute']
    servers = compute.call('GET', '/servers', params={'all_tenants': '1', 'limit': '1000'})['servers']
    print('computes %d, not up: %s' % (len(computes), ', '.join(sorted(down)) or 'none'))
    print('servers  %d' % len(servers))


def write(path, text, mode):
    """All of it or nothing, and never for a moment readable by more than it should be."""
    temporary = path + '.new'
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'w', encoding='utf-8') as file:
        file.write(text)
    os.replace(temporary, path)


def main():
    call = {'catalog': catalog, 'populate': populate, 'hosts': hosts, 'status': status}[sys.argv[1]]
    with open(sys.argv[2], encoding='utf-8') as file:
        wanted = json.load(file)
    try:
        call(wanted)
    except exceptions.HttpError as error:
        sys.exit('%s %s: %s (request %s)' % (
            getattr(error, 'method', ''), getattr(error, 'url', ''), error, error.request_id))


if __name__ == '__main__':
    main()
