# Las palabras de la página de estado, en español.

language-name = Español
title = FuLLet – estado
language = Idioma
time-shown = Periodo mostrado
figures = Cifras

## El estado

connecting = Conectando…
no-answer = El bot no responde
taking-jobs = Aceptando peticiones
some-down = Aceptando peticiones; { $down } de { $all } GPU no se pueden usar
unready-starting = Iniciando
unready-standby = En espera: otro proceso usa esta base de datos
unready-not-connected-to-discord = Sin conexión con Discord
unready-discord-cannot-be-reached = No se puede conectar con Discord
unready-discord-refuses-this-ip-address-for-now = Discord rechaza esta dirección IP por ahora
unready-paused-by-an-administrator = Un administrador lo puso en pausa
unready-no-comfyui-answers = No hay ninguna GPU disponible en este momento
unready-the-queue-is-closed-shutting-down = Deteniéndose
unready-the-queue-is-closed-set-up = Sin configurar: escribe ALLOWED_GUILD_ID en .env
unready-the-queue-is-closed-wrong-guild = ALLOWED_GUILD_ID no es uno de los servidores del bot

## Las cifras, cada una con lo que significa

pictures = Imágenes
    .meaning = creadas desde que se inició el bot
waiting = Esperando
    .meaning = en la cola
running = En proceso
    .meaning = en una GPU ahora mismo
people = Personas
    .meaning = con alguna imagen pendiente
wait = Espera habitual
    .meaning = hasta que una GPU empieza; la mitad de las imágenes espera más
failed = Fallidas
    .meaning = desde que se inició el bot, sin contar las canceladas
fairness = Equidad
    .meaning = 1,00: todos recibieron la misma cantidad de imágenes en los últimos diez minutos
requests = Peticiones
    .meaning = a Discord desde que se inició el bot; rechazadas por límite de frecuencia: { $refused }
uptime = En marcha
    .meaning = desde el último inicio

## Las GPU

gpus = GPU
state-starting = iniciando
state-idle = libre
state-busy = ocupada
state-down = sin conexión
state-draining = terminando
elastic = elástica, { $slots } a la vez
about-gpu = imágenes: { $pictures } · ocupación: { $share }
batches-of = Tandas de { $gpu }
batch = { $model }, { $size } a la vez, { $time }, { $state }
batch-running = en curso
batch-done = terminada
batch-failed = fallida
legend = el número de cada barra es cuántas imágenes crea esa tanda
no-gpus = No hay ninguna GPU en uso: se vaciaron todas, o no se encontró ningún servidor en las direcciones de COMFY_URLS

## Las gráficas

depth = Cola
depth-waiting = esperando
depth-running = en proceso
depth-label = Imágenes en espera y en proceso a lo largo del tiempo
waits = Esperas
waits-unit = segundos hasta que empezó una GPU, un punto por imagen
waits-label = Esperas a lo largo del tiempo
now = ahora
