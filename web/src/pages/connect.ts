/** Opens a desktop or a recording in a new tab: by a ticket in the body of a form, never in an address. */
import { answered, client, type RecordingUse } from '../api/client';
import { words } from '../text/words.svelte';
import { appearance } from '../ui/theme.svelte';

export async function connect(id: string): Promise<void> {
  const request = client.POST('/api/v1/desktops/{id}/tickets', { params: { path: { id } } });
  const { ticket, connect_url } = await answered(request);
  post(connect_url, ticket, '_blank');
}

/** Plays a recording in a new tab, or has its file saved. */
export async function openRecording(id: string, use: RecordingUse): Promise<void> {
  const request = client.POST('/api/v1/recordings/{id}/tickets', {
    params: { path: { id } },
    body: { use },
  });
  const { ticket, play_url } = await answered(request);
  // A file that is saved leaves the page where it is.
  post(play_url, ticket, use === 'play' ? '_blank' : '_self');
}

function post(address: string, ticket: string, tab: '_blank' | '_self'): void {
  const form = document.createElement('form');
  form.method = 'post';
  form.action = address;
  form.target = tab;
  form.hidden = true;
  form.append(
    field('ticket', ticket),
    field('lang', words.language),
    field('theme', appearance.theme),
  );
  document.body.append(form);
  form.submit();
  form.remove();
}

function field(name: string, value: string): HTMLInputElement {
  const input = document.createElement('input');
  input.type = 'hidden';
  input.name = name;
  input.value = value;
  return input;
}
