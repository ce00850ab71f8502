/** Starts the portal's pages. */
import { mount } from 'svelte';

import './ui/tokens.css';
import './ui/base.css';
import App from './App.svelte';
import { router } from './router.svelte';
import { session } from './session.svelte';
import { applyPreferences } from './ui/preferences';

applyPreferences();
router.listen();
void session.look();
const app = document.getElementById('app');
if (app) mount(App, { target: app });
