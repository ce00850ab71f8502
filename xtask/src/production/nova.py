"""The lab's Nova, as its administrator: `nova.py CLOUDS seed DESKTOP` prints what a server's config drive tells its
agent; `nova.py CLOUDS servers` prints each server's state and desktop.
"""
import base64
import sys

import yaml
from keystoneauth1 import session
from keystoneauth1.identity import v3

SEED = '/etc/beamdesk/seed.json'


def servers(clouds):
    with open(clouds, encoding='utf-8') as file:
        admin = yaml.safe_load(file)['clouds']['admin']['auth']
    known = ('auth_url', 'username', 'password', 'project_name', 'user_domain_id', 'project_domain_id',
             'user_domain_name', 'project_domain_name')
    keystone = session.Session(auth=v3.Password(**{key: admin[key] for key in known if key in admin}))
    # 2.3: shows user data to administrators.
    answer = keystone.get('/servers/detail?all_tenants=1', endpoint_filter={'service_type': 'compute'},
                          headers={'OpenStack-API-Version': 'compute 2.90'})
    return answer.json()['servers']


def seed(clouds, desktop):
    for server in servers(clouds):
        if server['metadata'].get('beamdesk_desktop') == desktop and server['status'] == 'ACTIVE':
            config = yaml.safe_load(base64.b64decode(server['OS-EXT-SRV-ATTR:user_data']))
            for file in config['write_files']:
                if file['path'] == SEED:
                    content = file['content']
                    coded = file.get('encoding') in ('b64', 'base64')
                    return base64.b64decode(content).decode() if coded else content
    raise SystemExit('no server of that desktop is active')


def main():
    clouds, verb, *rest = sys.argv[1:]
    if verb == 'seed':
        print(seed(clouds, *rest))
    else:
        for server in servers(clouds):
            print(server['id'], server['status'], server['metadata'].get('beamdesk_desktop', '-'))


main()
