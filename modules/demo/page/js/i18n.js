// The page's own words, English and Spanish. What the bot says is the bot's.

const EN = {
  'nav.channels': 'Channels', 'nav.open': 'Open channel list', 'nav.close': 'Close channel list', 'nav.private': 'private channel',
  'nav.unread': 'unread', 'nav.new': 'new',
  'user.switch': 'Switch user', 'user.you': 'You are', 'user.admin': 'admin', 'user.switching': 'Each person sees only their own channels.',
  'locale.label': 'Client language', 'theme.toggle': 'Light or dark',
  'help.open': 'Help', 'help.title': 'Make your first picture', 'help.step1': 'Type {cmd} in the box below and press Tab.',
  'help.step2': 'Pick a model, write what you want to see, and press Enter.',
  'help.step3': 'Follow your private channel in the list: the picture arrives there.',
  'help.more': 'Drop a picture on the box to use it with /edit. Right-click a message for more. Switch users at the bottom left to see what the others see.',
  'help.note': 'This page plays the part of Discord: people, channels and messages here are simulated on this machine. The bot behind it is the real one.',
  'help.close': 'Got it',
  'banner.lost': 'Connection lost. Trying again…', 'banner.retry': 'Connection lost. Trying again in {n} s…', 'banner.now': 'Try now',
  'banner.back': 'Connected again.',
  'composer.placeholder': 'Message #{channel}, or type / for commands', 'composer.send': 'Send', 'composer.attach': 'Attach a file',
  'composer.label': 'Message', 'composer.short': 'Message, or type /', 'composer.none': 'No channel here yet.', 'composer.offline': 'Not connected: your text stays here until you are.',
  'composer.commands': 'Commands', 'composer.nocommand': 'No command of that name', 'composer.nocommands': 'The bot has no commands yet. It may still be starting.',
  'composer.cancel': 'Leave the command', 'composer.required': 'Fill in: {names}', 'composer.optional': 'Optional',
  'composer.drop': 'Drop it: the picture goes to {where}', 'composer.dropmessage': 'the message',
  'composer.choose': 'Choose a file', 'composer.remove': 'Remove {name}', 'composer.uploading': 'Uploading…', 'composer.uploadfailed': 'The file could not be uploaded: {why}',
  'composer.badinteger': '{name} must be a whole number.', 'composer.badnumber': '{name} must be a number.', 'composer.min': '{name} must be at least {n}.',
  'composer.max': '{name} must be at most {n}.', 'composer.minlength': '{name} needs at least {n} characters.', 'composer.maxlength': '{name} takes at most {n} characters.',
  'composer.badchoice': 'Pick one of the choices for {name}.', 'composer.keys': '↑↓ choose · Tab take · Enter send · Esc close', 'composer.searching': 'Looking…', 'composer.nochoices': 'Nothing found',
  'composer.toolong': '{n} of 2000 characters',
  'option.true': 'True', 'option.false': 'False',
  'message.only': 'Only you can see this', 'message.dismiss': 'Dismiss message', 'message.thinking': '{name} is thinking…', 'message.edited': '(edited)',
  'message.used': 'used', 'message.bot': 'BOT', 'message.failed': 'The application did not respond', 'message.failedcomponent': 'This interaction failed',
  'message.more': 'More', 'message.list': 'Messages', 'message.older': 'Load older messages', 'message.start': 'This is the beginning of #{channel}.',
  'message.jump': 'New messages', 'message.end': 'To the end', 'message.deletedref': 'The original message was deleted', 'message.reply': 'Reply to {name}', 'message.typing': '{names} is typing…', 'message.typingmany': '{names} are typing…',
  'message.today': 'Today', 'message.yesterday': 'Yesterday', 'message.newline': 'New',
  'message.sending': 'Sending…',
  'menu.apps': 'Apps', 'menu.copytext': 'Copy text', 'menu.copylink': 'Copy link', 'menu.copyid': 'Copy ID', 'menu.copyimage': 'Copy picture link', 'menu.delete': 'Delete message',
  'menu.copied': 'Copied', 'menu.label': 'What to do with the message', 'menu.userapps': 'Apps for this person',
  'image.open': 'Open picture: {alt}', 'image.close': 'Close', 'image.original': 'Open in a new tab', 'image.none': 'no description', 'image.failed': 'The picture could not be loaded', 'image.alt': 'ALT',
  'select.placeholder': 'Make a choice', 'select.done': 'Done', 'select.pick': 'Choose {min} to {max}', 'select.search': 'Search',
  'modal.submit': 'Send', 'modal.cancel': 'Cancel', 'modal.required': 'This one is needed.', 'modal.short': 'At least {n} characters.', 'modal.long': 'At most {n} characters.', 'modal.sending': 'Sending…',
  'modal.failed': 'That did not work. Try again.',
  'toast.channel': 'A private channel opened for you', 'toast.go': 'Go there', 'toast.gone': '#{channel} is gone',
  'spoiler.show': 'Spoiler: show', 'file.size': '{n} KB', 'unknown.channel': 'unknown', 'unknown.user': 'unknown',
};

const ES = {
  'nav.channels': 'Canales', 'nav.open': 'Abrir la lista de canales', 'nav.close': 'Cerrar la lista de canales', 'nav.private': 'canal privado',
  'nav.unread': 'sin leer', 'nav.new': 'nuevo',
  'user.switch': 'Cambiar de usuario', 'user.you': 'Eres', 'user.admin': 'admin', 'user.switching': 'Cada persona ve solo sus canales.',
  'locale.label': 'Idioma del cliente', 'theme.toggle': 'Claro u oscuro',
  'help.open': 'Ayuda', 'help.title': 'Haz tu primera imagen', 'help.step1': 'Escribe {cmd} en el cuadro de abajo y pulsa Tab.',
  'help.step2': 'Elige un modelo, escribe lo que quieres ver y pulsa Intro.',
  'help.step3': 'Sigue tu canal privado en la lista: allí llega la imagen.',
  'help.more': 'Suelta una imagen sobre el cuadro para usarla con /edit. Clic derecho en un mensaje para más. Cambia de usuario abajo a la izquierda para ver lo que ven los demás.',
  'help.note': 'Esta página hace de Discord: las personas, los canales y los mensajes se simulan en esta máquina. El bot que hay detrás es el de verdad.',
  'help.close': 'Entendido',
  'banner.lost': 'Se perdió la conexión. Reintentando…', 'banner.retry': 'Se perdió la conexión. Nuevo intento en {n} s…', 'banner.now': 'Reintentar ya',
  'banner.back': 'Conexión recuperada.',
  'composer.placeholder': 'Mensaje en #{channel}, o escribe / para ver los comandos', 'composer.send': 'Enviar', 'composer.attach': 'Adjuntar un archivo',
  'composer.label': 'Mensaje', 'composer.short': 'Mensaje, o escribe /', 'composer.none': 'Aquí aún no hay canales.', 'composer.offline': 'Sin conexión: tu texto se queda aquí hasta que vuelva.',
  'composer.commands': 'Comandos', 'composer.nocommand': 'Ningún comando se llama así', 'composer.nocommands': 'El bot aún no tiene comandos. Puede que esté arrancando.',
  'composer.cancel': 'Salir del comando', 'composer.required': 'Falta: {names}', 'composer.optional': 'Opcional',
  'composer.drop': 'Suéltala: la imagen va a {where}', 'composer.dropmessage': 'el mensaje',
  'composer.choose': 'Elegir un archivo', 'composer.remove': 'Quitar {name}', 'composer.uploading': 'Subiendo…', 'composer.uploadfailed': 'No se pudo subir el archivo: {why}',
  'composer.badinteger': '{name} debe ser un número entero.', 'composer.badnumber': '{name} debe ser un número.', 'composer.min': '{name} debe ser al menos {n}.',
  'composer.max': '{name} debe ser como mucho {n}.', 'composer.minlength': '{name} necesita al menos {n} caracteres.', 'composer.maxlength': '{name} admite como mucho {n} caracteres.',
  'composer.badchoice': 'Elige una de las opciones de {name}.', 'composer.keys': '↑↓ elegir · Tab tomar · Intro enviar · Esc cerrar', 'composer.searching': 'Buscando…', 'composer.nochoices': 'Sin resultados',
  'composer.toolong': '{n} de 2000 caracteres',
  'option.true': 'Verdadero', 'option.false': 'Falso',
  'message.only': 'Solo tú puedes ver esto', 'message.dismiss': 'Descartar mensaje', 'message.thinking': '{name} está pensando…', 'message.edited': '(editado)',
  'message.used': 'usó', 'message.bot': 'BOT', 'message.failed': 'La aplicación no respondió', 'message.failedcomponent': 'Esta interacción falló',
  'message.more': 'Más', 'message.list': 'Mensajes', 'message.older': 'Cargar mensajes anteriores', 'message.start': 'Este es el comienzo de #{channel}.',
  'message.jump': 'Mensajes nuevos', 'message.end': 'Al final', 'message.deletedref': 'El mensaje original se borró', 'message.reply': 'Respuesta a {name}', 'message.typing': '{names} está escribiendo…', 'message.typingmany': '{names} están escribiendo…',
  'message.today': 'Hoy', 'message.yesterday': 'Ayer', 'message.newline': 'Nuevo',
  'message.sending': 'Enviando…',
  'menu.apps': 'Aplicaciones', 'menu.copytext': 'Copiar texto', 'menu.copylink': 'Copiar enlace', 'menu.copyid': 'Copiar ID', 'menu.copyimage': 'Copiar enlace de la imagen', 'menu.delete': 'Borrar mensaje',
  'menu.copied': 'Copiado', 'menu.label': 'Qué hacer con el mensaje', 'menu.userapps': 'Aplicaciones para esta persona',
  'image.open': 'Abrir imagen: {alt}', 'image.close': 'Cerrar', 'image.original': 'Abrir en otra pestaña', 'image.none': 'sin descripción', 'image.failed': 'No se pudo cargar la imagen', 'image.alt': 'ALT',
  'select.placeholder': 'Elige una opción', 'select.done': 'Listo', 'select.pick': 'Elige de {min} a {max}', 'select.search': 'Buscar',
  'modal.submit': 'Enviar', 'modal.cancel': 'Cancelar', 'modal.required': 'Esto hace falta.', 'modal.short': 'Al menos {n} caracteres.', 'modal.long': 'Como mucho {n} caracteres.', 'modal.sending': 'Enviando…',
  'modal.failed': 'No ha funcionado. Inténtalo de nuevo.',
  'toast.channel': 'Se abrió un canal privado para ti', 'toast.go': 'Ir allí', 'toast.gone': '#{channel} ya no está',
  'spoiler.show': 'Spoiler: mostrar', 'file.size': '{n} KB', 'unknown.channel': 'desconocido', 'unknown.user': 'desconocido',
};

export const CATALOGUES = { en: EN, es: ES };
export const LOCALES = [['en-US', 'English (US)'], ['es-ES', 'Español (España)'], ['es-419', 'Español (Latinoamérica)']];

let locale = 'en-US';

export function setLocale(next) {
  locale = LOCALES.some(([code]) => code === next) ? next : 'en-US';
  document.documentElement.lang = locale;
}

export const currentLocale = () => locale;

/** The sentence of a key, with {names} filled in. Values are plain text. */
export function t(key, values = {}) {
  const words = (CATALOGUES[locale.split('-')[0]] ?? EN)[key] ?? EN[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A command's, option's or choice's own word in the reader's language: `field` is 'name' or 'description'. */
export function localized(thing, field = 'name') {
  return thing?.[`${field}_localizations`]?.[locale] ?? thing?.[`${field}_localized`] ?? thing?.[field] ?? '';
}
