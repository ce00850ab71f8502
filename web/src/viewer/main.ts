/** Starts the viewer: one tab, one desktop. */
import { mount } from 'svelte';

import '../ui/tokens.css';
import '../ui/base.css';
import { applyPreferences } from '../ui/preferences';
import Viewer from './Viewer.svelte';

const app = document.getElementById('app');
// The gateway serves this page at /d/{desktop} only.
const desktop = /^\/d\/([0-9a-f-]{36})\/?$/.exec(location.pathname)?.[1];

applyPreferences();
if (app) mount(Viewer, { target: app, props: { desktop: desktop ?? '' } });
