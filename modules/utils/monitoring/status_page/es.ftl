# Las palabras de la página de estado, en español.

language-name = Español
title = FuLLet – estado
language = Idioma
time-shown = Tiempo mostrado
figures = Cifras

## How it is

connecting = Conectando…
no-answer = El bot no responde
taking-jobs = Aceptando peticiones
some-down = Aceptando peticiones; { $down } de { $all } GPU no se pueden usar
unready-starting = Arrancando
unready-standby = En espera: otro proceso usa esta base de datos
unready-not-connected-to-discord = Sin conexión con Discord
unready-discord-cannot-be-reached = No se puede llegar a Discord
unready-discord-refuses-this-address-for-now = Discord rechaza esta dirección por ahora
unready-paused-by-an-administrator = En pausa por un administrador
unready-no-comfyui-answers = Ningún ComfyUI responde
unready-the-queue-is-closed-shutting-down = Apagándose
unready-the-queue-is-closed-set-up = Sin configurar: escribe ALLOWED_GUILD_ID en .env
unready-the-queue-is-closed-wrong-guild = ALLOWED_GUILD_ID no es uno de los servidores del bot

## The tiles, each with what it means

pictures = Imágenes
    .meaning = creadas desde que arrancó el bot
waiting = Esperando
    .meaning = en la cola
running = En creación
    .meaning = en una GPU ahora mismo
people = Personas
    .meaning = con alguna imagen pendiente
wait = Espera habitual
    .meaning = hasta que empieza una GPU; la mitad espera más
failed = Fallidas
    .meaning = acabaron sin imagen desde el arranque
fairness = Equidad
    .meaning = 1,00: a todos les tocaron las mismas en diez minutos
requests = Peticiones
    .meaning = a Discord desde el arranque; { $refused } demasiado seguidas
uptime = En marcha
    .meaning = desde el último arranque

## The GPUs

gpus = GPU
state-starting = arrancando
state-idle = libre
state-busy = ocupada
state-down = desconectada
state-draining = terminando
elastic = elástica, { $slots } a la vez
about-gpu = imágenes: { $pictures } · ocupación: { $share }
batches-of = Tandas de { $gpu }
batch = { $model }, { $size } a la vez, { $time }, { $state }
batch-running = en curso
batch-done = terminada
batch-failed = fallida
legend = el número de cada barra es cuántas imágenes crea esa tanda
no-gpus = No hay servidores en COMFY_URLS

## The charts

depth = Cola
depth-waiting = esperando
depth-running = en creación
depth-label = Imágenes en espera y en creación a lo largo del tiempo
waits = Esperas
waits-unit = segundos hasta que empezó una GPU, un punto por imagen
waits-label = Esperas a lo largo del tiempo
now = ahora
