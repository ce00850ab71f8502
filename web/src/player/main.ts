/** Starts the player: one tab, one recording. */
import { mount } from 'svelte';

import '../ui/tokens.css';
import '../ui/base.css';
import { applyPreferences } from '../ui/preferences';
import Player from './Player.svelte';

const app = document.getElementById('app');
// The gateway serves this page at /r/{recording} only.
const recording = /^\/r\/([0-9a-f-]{36})\/?$/.exec(location.pathname)?.[1];

applyPreferences();
if (app) mount(Player, { target: app, props: { recording: recording ?? '' } });
