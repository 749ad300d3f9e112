# Todo lo que dice el bot, en español.

language-name = Español

## Comandos

command-imagine = imaginar
    .description = Crea una imagen a partir de una descripción
    .model = modelo
    .model-description = El modelo que se usará
    .prompt = prompt
    .prompt-description = Qué debe mostrar la imagen
    .aspect = formato
    .aspect-description = El formato o el tamaño de la imagen
    .style = estilo
    .style-description = Un estilo: palabras que se agregan a tu prompt
    .lora = lora
    .lora-description = Un LoRA, que cambia cómo dibuja el modelo
    .lora_strength = fuerza_lora
    .lora_strength-description = Cuánto influye el LoRA
    .seed = semilla
    .seed-description = Un número; con el mismo prompt, modelo y semilla sale la misma imagen
    .negative = negativo
    .negative-description = Qué no debe mostrar la imagen (algunos modelos no lo usan)
    .count = cantidad
    .count-description = Cuántas imágenes; cada una con su propia semilla
    .image = imagen
    .image-description = La imagen de partida; si un PNG tiene una parte transparente, solo se pinta esa
    .strength = fuerza
    .strength-description = Cuánto puede cambiar la imagen, de 0,05 (casi nada) a 1 (por completo)
command-edit = editar
    .description = Modifica una imagen: describe qué quieres cambiar
    .prompt = prompt
    .prompt-description = Qué hay que cambiar
    .image = imagen
    .image-description = La imagen (vacío: la última); si un PNG tiene una parte transparente, solo se pinta esa
    .image2 = imagen2
    .image2-description = Una segunda imagen, por ejemplo de un objeto para agregar a la primera
    .mask = máscara
    .mask-description = Una imagen del mismo tamaño; la tuya solo cambia donde esta es blanca o transparente
    .model = modelo
    .model-description = El modelo que se usará
    .style = estilo
    .style-description = Un estilo: palabras que se agregan a tu prompt
    .lora = lora
    .lora-description = Un LoRA, que cambia cómo dibuja el modelo
    .lora_strength = fuerza_lora
    .lora_strength-description = Cuánto influye el LoRA
    .seed = semilla
    .seed-description = Un número; con el mismo prompt, modelo y semilla sale la misma imagen
command-queue = cola
    .description = Cuántas imágenes esperan y tu lugar en la cola
command-cancel = cancelar
    .description = Cancela imágenes que pediste
command-history = historial
    .description = Las imágenes que has creado
command-settings = ajustes
    .description = Tu modelo, formato, estilo e idioma, y dónde recibes tus imágenes
    .model = modelo
    .model-description = El modelo para imágenes nuevas: aparece primero y se usa si no eliges otro
command-forget = olvidar
    .description = Borra tus prompts, imágenes y ajustes
command-help = ayuda
    .description = Qué puede hacer este bot
command-edit-picture = Editar imagen
command-make-again = Crear otra vez
command-use-as-start = Usar como inicio
command-admin = admin
    .description = Para administradores
command-admin-sync = sync
    .description = Registra ahora los comandos en este servidor
command-admin-clearall = clearall
    .description = Quita los comandos de este bot; sync los vuelve a poner
command-admin-getid = getid
    .description = Muestra el ID de este servidor
command-admin-status = estado
    .description = La cola, las GPU y cuánto tardan las imágenes
command-admin-gpus = gpus
    .description = Cada GPU: su estado, sus modelos y qué está haciendo
command-admin-reload = recargar
    .description = Vuelve a leer .env y los modelos; las GPU vaciadas vuelven
command-admin-pause = pausar
    .description = No empieza más imágenes; las que esperan conservan su lugar
command-admin-resume = reanudar
    .description = Reanuda la creación de imágenes después de una pausa
command-admin-drain = vaciar
    .description = Deja que una GPU termine lo que está haciendo y no le da nada más
    .gpu = gpu
    .gpu-description = La dirección de la GPU
command-admin-block = bloquear
    .description = Deja de aceptar peticiones de un miembro
    .user = usuario
    .user-description = El miembro que quieres bloquear
command-admin-unblock = desbloquear
    .description = Vuelve a aceptar peticiones de un miembro
    .user = usuario
    .user-description = El miembro que quieres desbloquear
command-admin-limits = límites
    .description = Cuánto puede pedir cada miembro y quién está bloqueado
command-admin-cancel = cancelar
    .description = Cancela la imagen de cualquier miembro
    .job = trabajo
    .job-description = El número de la imagen, por ejemplo 42
command-admin-find = buscar
    .description = Quién creó una imagen y cómo
    .message = mensaje
    .message-description = Un enlace al mensaje, o su ID

## Respuestas a una petición

queued = { $count ->
        [one] La imagen { $numbers } está en la cola. Síguela en { $channel }.
       *[other] { $count } imágenes están en la cola: { $numbers }. Síguelas en { $channel }.
    }{ $direct ->
        [0] {""}
       *[other] {" "}El resultado te llegará por mensaje directo.
    }

## El mensaje de estado de un trabajo

status-queued = { $ahead ->
        [taken] **#{ $number }** empezará pronto: ya la tomó una GPU.
        [0] **#{ $number }** es la primera de la cola ({ $waiting } en espera en total).
        [one] **#{ $number }** está en espera: hay una imagen delante ({ $waiting } en espera en total).
       *[other] **#{ $number }** está en espera: hay { $ahead } imágenes delante como máximo ({ $waiting } en espera en total).
    }
status-set = **{ $numbers }** · { $ready } de { $count } listas
status-expected = Estará lista { $when ->
        [soon] de un momento a otro
       *[other] aproximadamente { $when }
    }.
status-no-server = No hay ninguna GPU en línea en este momento. Las imágenes en la cola conservan su lugar.
status-starting = Se está encendiendo una GPU; tarda unos { $seconds } s. Las imágenes en la cola conservan su lugar.
status-stranded = Ya no hay ninguna GPU que tenga { $model }. Si eso no cambia, esta petición fallará { $when }.
status-paused = La cola está en pausa. Las imágenes en la cola conservan su lugar.
status-started = Creando la **#{ $number }** · empezó { $since }
status-steps = { $bar } paso { $step } de { $steps }
status-retrying = **#{ $number }**: { $why ->
        [server] el servidor de GPU falló. La creará otro servidor que funcione
        [server-none] el servidor de GPU falló y ningún otro puede crearla en este momento. La imagen esperará hasta que uno pueda
        [lacks] al servidor de GPU le falta algo que este modelo necesita. La creará un servidor que lo tenga
        [lacks-none] al servidor de GPU le falta algo que este modelo necesita y ningún otro lo tiene en este momento. La imagen esperará hasta que uno lo tenga
        [size] la GPU se quedó sin memoria. Se intentará otra vez con menos imágenes a la vez
        [size-alone] la GPU se quedó sin memoria. Se intentará otra vez
        [content] algo falló. Se intentará otra vez en un grupo más pequeño o por separado, para encontrar la causa
        [fusion] esta imagen no se puede crear junto con otras. Ahora se creará por separado
       *[nobody] algo falló. Se intentará otra vez
    }; conservas tu lugar.
status-finishing = **#{ $number }** está lista, enviándola.
status-restarting = **#{ $number }**: el bot se está reiniciando; conservas tu lugar.
status-cancelled = **#{ $number }** se canceló.
status-cancelled-by-other = Un administrador canceló **#{ $number }**.
status-failed = No se pudo crear la **#{ $number }**. { $why }
status-delivered = **#{ $number }** está lista.
status-kept = **#{ $number }** está lista, pero no se pudo enviar. Está guardada y se enviará en cuanto se pueda. Si usas cualquier comando, el bot lo intenta de inmediato.
ended-delivered = **#{ $number }** está lista: [abrir]({ $link })
ended-delivered-in = **#{ $number }** está lista en { $channel }.
ended-deleted = **#{ $number }** se creó y después se borró.
failed-see = { $owner } No se pudo crear la **#{ $number }**: [qué pasó]({ $link })
prompt-line = > { $prompt }

## El resultado

result-line = { $model } · { $size } · semilla `{ $seed }`
lora-line = { $label } { $strength }{ $words ->
        [none] {""}
       *[other] {" "}(agrega «{ $words }»)
    }
made-upscaled = { $made }, ampliación ×{ $factor }
made-edited = { $made }, editada con { $model }
result-start = a partir de una imagen, fuerza { $strength }
result-part = solo cambió una parte
result-variation = variación `{ $seed }`
result-seconds = { $seconds ->
        [0] menos de 0,1 s
       *[other] { $seconds } s
    }
result-together = creada junto con { $others ->
        [one] otra
       *[other] otras { $others }
    }
result-waited = { $seconds ->
        [0] sin espera
       *[other] { $seconds } s de espera
    }
result-gpu = GPU { $seconds ->
        [0] menos de 0,1 s
       *[other] { $seconds } s
    } para { $count } imágenes, { $each ->
        [0] menos de 0,1 s
       *[other] { $each } s
    } cada una
result-gpu-alone = GPU { $seconds ->
        [0] menos de 0,1 s
       *[other] { $seconds } s
    }
details-prompt = El modelo recibió: { $prompt }
details-negative = Lo que no debe aparecer: { $negative }
details-metadata = { $there ->
        [0] El archivo solo contiene la imagen.
       *[other] El archivo contiene tu prompt, la semilla y el modelo.
    }
result-number = **#{ $number }**
result-reencoded = Comprimida para no superar el límite de tamaño de archivo de Discord.
result-moved = Tu canal anterior no se pudo usar; este es nuevo.
result-direct = Tu canal no se pudo usar, así que aquí tienes tu imagen.
shared-by = De { $name }

## Botones y formularios

button-again = Otra vez
button-vary = Variar
button-edit = Editar
button-prompt = Prompt…
button-start = Usar como inicio…
button-zoom15 = Alejar 1,5×
button-zoom2 = Alejar 2×
button-panleft = Desplazar ←
button-panup = Desplazar ↑
button-panright = Desplazar →
button-pandown = Desplazar ↓
button-upscale = Ampliar
button-share = Compartir
button-delete = Borrar
button-details = Detalles
button-erase = Sí, borrarla
button-cancel = Cancelar
button-cancelall = Cancelar todas
more = Más…
which = A qué imagen se aplican los botones
which-option = #{ $number } · semilla { $seed }
button-back = Volver
button-older = Más antiguas
button-search = Buscar…
button-newer = Más recientes
button-forget = Borrar todo
button-reopen = Abrir otra vez el formulario
button-refresh = Actualizar
button-turn-on = Activar
button-turn-off = Desactivar
button-keep = Conservar todo
form-edit = Editar imagen
form-prompt = Cambiar y crear otra vez
form-again = Crear otra vez
form-start = Usar como inicio
form-field-prompt = Prompt
form-field-negative = Lo que no debe aparecer
form-hint-negative = Algunos modelos no lo usan
form-field-strength = Fuerza
form-hint-strength = Cuánto puede cambiar la imagen, desde casi nada hasta por completo
form-field-seed = Semilla
form-hint-seed = Déjalo vacío para usar una nueva
form-field-size = Formato
form-field-model = Modelo
form-field-style = Estilo
form-lora = { $models ->
        [none] { $lora } ya no está disponible.
       *[other] { $lora } solo se usa con estos modelos: { $models }
    }
form-search = Buscar entre tus imágenes
form-field-word = Una palabra del prompt
form-field-pictures = Otras imágenes para usar
form-files-again = Tus archivos no se guardan: adjúntalos otra vez.
form-cut = Aquí solo caben los primeros { $shown } de { $length } caracteres.
shared-done = Compartida en { $channel }.
shared-already = Ya está en la galería: { $link }
shared-nowhere = La opción de compartir no está configurada aquí.
shared-refused = No se pudo publicar la imagen en la galería. Pídele a un administrador que revise los permisos del bot allí.
delete-ask = ¿Borrar la **#{ $number }** para siempre?
deleted = Borrada.
cancelled-mine = { $count ->
        [0] Ya no quedaba nada que cancelar.
        [one] Cancelada: { $numbers }.
       *[other] Canceladas: { $numbers }.
    }
cancel-choose = ¿Qué imágenes quieres cancelar?
cancel-all = Todas
cancel-none = No tienes nada en la cola.

## Formatos

aspect-default = Formato predeterminado
aspect-square = Cuadrado
aspect-portrait = Vertical
aspect-landscape = Horizontal
aspect-wide = Panorámico
aspect-tall = Vertical alargado
choice-no-style = Sin estilo
choice-no-lora = Sin LoRA
choice-no-loras = En este momento no hay ningún LoRA para este modelo
choice-lora = { $label } · de { $least } a { $most }{ $words ->
        [none] {""}
       *[other] {" "}· agrega «{ $words }»
    }
choice-strength = { $strength }
choice-model = { $label } · { $seconds ->
        [unknown] { $steps ->
            [one] { $steps } paso
           *[other] { $steps } pasos
        }
       *[other] ~{ $seconds } s
    } · { $description }

## /queue

queue-title = La cola
queue-counts = { $waiting } en espera, { $taken ->
        [0] {""}
       *[other] { $taken } a punto de empezar,{" "}
    }{ $running } en proceso{ $arriving ->
        [0] {""}
       *[other] , { $arriving } enviándose
    }{ $users ->
        [0] .
        [one] , para una persona.
       *[other] , para { $users } personas.
    }
queue-closed = No se aceptan peticiones nuevas en este momento.
queue-mine-running = **#{ $number }** se está creando{ $when ->
        [none] .
        [soon] ; estará lista de un momento a otro.
       *[other] ; estará lista aproximadamente { $when }.
    }
queue-mine-taken = **#{ $number }** empezará pronto: ya la tomó una GPU{ $when ->
        [none] .
        [soon] ; estará lista de un momento a otro.
       *[other] ; estará lista aproximadamente { $when }.
    }
queue-mine-waiting = **#{ $number }**: { $ahead ->
        [0] la primera de la cola
        [one] hay una delante
       *[other] hay { $ahead } delante
    }{ $when ->
        [none] .
        [soon] ; estará lista de un momento a otro.
       *[other] ; estará lista aproximadamente { $when }.
    }
queue-none-mine = No tienes nada en la cola.
queue-more-mine = { $count ->
        [one] Tienes una imagen más en espera
       *[other] Tienes { $count } imágenes más en espera
    }; { COMMAND("cancel") } muestra todas las tuyas.

## /history

history-title = Tus imágenes
history-empty = Todavía no has creado ninguna imagen.
history-line = **#{ $number }** { $when } · { $model } · { $size ->
        [none] {""}
       *[other] { $size } ·{" "}
    }{ $state ->
        [delivered] [abrir]({ $link })
        [failed] falló
        [cancelled] cancelada
        [deleted] borrada
        [closed] su canal se eliminó
        [kept] guardada para ti
       *[other] en la cola
    }
history-pick = Elige una imagen para trabajar con ella
history-model = Mostrar un solo modelo
history-all-models = Todos los modelos
history-word = Con «{ $word }» en el prompt
history-none-found = Ninguna de tus imágenes coincide.

## /settings

settings-title = Tus ajustes
settings-saved = Guardado.
settings-model = Modelo
settings-model-auto = Sin preferencia
settings-aspect = Formato
settings-style = Estilo para las imágenes nuevas
settings-lora = LoRA para las imágenes nuevas (solo se usa con modelos compatibles)
settings-strength = Fuerza al partir de una imagen
settings-strength-auto = Predeterminada ({ $strength })
settings-locale = Idioma
settings-locale-auto = El mismo que en Discord
settings-previews = Mostrar la imagen mientras se crea
settings-notify = Mencionarme cuando una imagen esté lista
settings-direct = Enviarme las imágenes por mensaje directo
settings-on = sí
settings-off = no

## /forget

forget-ask = Esto borra tus prompts, tus ajustes y las imágenes que el bot te guarda. No se puede deshacer. Tu canal privado se elimina con todo lo que contiene; los demás mensajes en Discord no se borran.
forget-done = Se borró todo.
forget-kept = No se borró nada.
forget-busy = Todavía tienes imágenes en la cola. Espera a que terminen o cancélalas con { COMMAND("cancel") }.

## /help

help-title = Qué puede hacer este bot
help-imagine = **{ COMMAND("imagine") }** crea una imagen: elige un modelo y escribe qué debe mostrar. Agrega una imagen para partir de ella.
help-edit = **{ COMMAND("edit") }** cambia una imagen: adjunta una, o ninguna para cambiar la última. Las partes transparentes o una máscara marcan lo que puede cambiar; el resto queda igual.
help-queue = **{ COMMAND("queue") }** muestra tu lugar en la cola; **{ COMMAND("cancel") }** cancela imágenes.
help-history = **{ COMMAND("history") }** muestra lo que has creado; puedes buscar por modelo o por palabra.
help-settings = **{ COMMAND("settings") }** guarda tu modelo, formato, estilo e idioma; **{ COMMAND("forget") }** borra tus prompts, imágenes y ajustes.
help-menus = Haz clic derecho en cualquier imagen (en el teléfono, mantenla presionada) y elige *Aplicaciones*: *Editar imagen*, *Usar como inicio* o *Crear otra vez*.
help-limit = Puedes tener { $limit ->
        [one] una imagen
       *[other] { $limit } imágenes
    } en la cola a la vez.
help-buttons = Los botones y el menú debajo de una imagen
help-button-again = el mismo prompt con otra semilla
help-button-vary = la misma imagen con pequeños cambios
help-button-edit = indica qué quieres cambiar
help-button-prompt = cambia el prompt, el modelo, el estilo, el formato o la semilla
help-button-start = crea una imagen nueva a partir de esta
help-make-room = **Alejar** y **Desplazar**: pintan más alrededor de la imagen, o hacia un lado
help-button-upscale = la misma imagen, más grande
help-button-share = muéstrala a todos en la galería
help-button-delete = elimina la imagen
help-button-details = cómo y cuándo se creó
help-button-cancel = detén una imagen que todavía no está lista
help-buttons-last = Los botones siguen funcionando, incluso días después.
help-models = Modelos
help-model = **{ $label }**: { $description }

## El canal de sesión

session-topic = Canal privado para las imágenes de { $owner }. Se elimina después de { $minutes ->
        [one] un minuto
       *[other] { $minutes } minutos
    } sin actividad.
session-closing = { $owner } Este canal y sus imágenes se eliminarán { $when } si no lo usas. { COMMAND("history") } seguirá mostrando las imágenes en su lista.

## Administradores

admin-argument-missing = { $command } necesita { $argument ->
        [user] una persona: menciónala o escribe su ID.
        [gpu] el nombre de una GPU, tal como lo muestra { COMMAND("admin gpus") }.
        [job] el número de una imagen.
        [message] un mensaje: pega su enlace o su ID.
       *[other] algo más: { $argument }.
    }
admin-argument-wrong = No se entiende lo que escribiste después de { $command }. Para indicar a una persona, menciónala o escribe su ID.
admin-only = Solo los administradores pueden hacer esto.
admin-synced = { $count ->
        [one] Ahora hay un comando registrado en este servidor.
       *[other] Ahora hay { $count } comandos registrados en este servidor.
    }
admin-cleared = Se quitaron los comandos de este bot, los globales y los de este servidor. Esto no afecta a la cola. `!sync` los vuelve a poner.
admin-guild-id = El ID de este servidor es `{ $id }`.
admin-paused = En pausa: las imágenes que ya tomó una GPU se terminarán; las que esperan conservan su lugar.
admin-resumed = La cola vuelve a funcionar.
admin-draining = { $gpu } terminará lo que está haciendo y no recibirá nada más. Con { COMMAND("admin reload") } se vuelve a usar.
admin-no-gpu = No hay ninguna GPU con ese nombre. Las GPU son: { $names }.
admin-reloaded = Recargado. GPU: { $names }.
admin-reloaded-model = { $turn ->
        [added] Modelo nuevo: { $what }
        [changed] Modelo modificado: { $what }
        [removed] Modelo retirado: { $what }
        [reread] Leído de nuevo: { $what }
       *[faulty] Esto no se puede usar: { $what }
    }
admin-blocked = Se bloqueó a { $user }. { $count ->
        [0] No tenía nada en la cola.
        [one] Se canceló una imagen suya.
       *[other] Se cancelaron { $count } imágenes suyas.
    }
admin-unblocked = { $user } puede volver a pedir imágenes.
admin-cancelled = Se canceló la **#{ $number }**, que pidió { $user }.
admin-status-title = Estado
admin-status-queue = Cola
admin-status-expected = La última imagen de la cola estará lista { $when ->
        [soon] de un momento a otro
       *[other] aproximadamente { $when }
    }.
admin-status-discord = Discord
admin-status-requests = { $requests ->
        [one] { $requests } petición
       *[other] { $requests } peticiones
    }, { $refused ->
        [one] { $refused } rechazada por límite de frecuencia
       *[other] { $refused } rechazadas por límite de frecuencia
    }
admin-status-check = Revisión
admin-status-check-counts = { $ok } OK, { $hint ->
        [one] { $hint } advertencia
       *[other] { $hint } advertencias
    }, { $fault ->
        [one] { $fault } problema
       *[other] { $fault } problemas
    }
admin-status-check-area = `{ $area }`: { $hint ->
        [one] { $hint } advertencia
       *[other] { $hint } advertencias
    }, { $fault ->
        [one] { $fault } problema
       *[other] { $fault } problemas
    }
admin-status-check-where = `python3 bot.py check` dice cuáles.
admin-gpu-notes = Advertencias: { $count }; `python3 bot.py check` dice cuáles.
admin-status-check-slow = La revisión está tardando demasiado; ejecuta `python3 bot.py check` para ver qué está esperando.
admin-gpu-line = **{ $name }** { $state ->
        [idle] libre
        [busy] ocupada
        [down] sin conexión
        [draining] terminando
       *[other] iniciando
    } · { $pictures ->
        [one] una imagen{ $each ->
            [0] {""}
           *[other] , { $each } s
        }
       *[other] { $pictures } imágenes{ $each ->
            [0] {""}
           *[other] , { $each } s cada una
        }
    }
admin-gpu-share = { $bar } ocupada { $share } %
admin-gpu-busy = «Ocupada» indica qué parte del tiempo ha trabajado la GPU desde que se inició el bot.
admin-gpu-private = { COMMAND("admin gpus") } te muestra las direcciones y los errores solo a ti.
admin-gpu-elastic = Elástica: { $slots ->
        [one] una imagen
       *[other] hasta { $slots } imágenes
    } a la vez{ $after ->
        [0] {""}
       *[other] , para las imágenes que esperarían más de { $after } s a tus propias GPU
    }.
admin-gpu-models = Modelos: { $models }
admin-gpu-checked = { $model } (comprobado el { $when }, { $rows ->
        [-1] se crean una por una: las imágenes creadas juntas difieren de las creadas por separado
        [0] las imágenes creadas juntas coinciden con las creadas por separado
       *[other] velocidad ×{ $gain } con { $rows } a la vez
    })
admin-gpu-missing = Falta un archivo de modelo: { $name }
admin-gpu-error = Último error: { $error }
admin-no-gpus = No hay ninguna GPU en uso: se vaciaron todas, o no se encontró ningún servidor en las direcciones de COMFY_URLS. Con { COMMAND("admin reload") } se vuelven a usar las vaciadas.
admin-limits-everybody = Todos: { $jobs } a la vez, { $daily ->
        [0] sin límite diario
       *[other] { $daily } al día
    }.
admin-limits-role = { $role }: { $jobs } a la vez, { $daily ->
        [0] el mismo límite diario que todos
       *[other] { $daily } al día
    }, prioridad { $tier }.
admin-limits-cooldown = Al menos { $seconds } s entre dos peticiones.
admin-limits-blocked = Bloqueados: { $users }
admin-limits-nobody-blocked = No hay nadie bloqueado.
admin-found = **#{ $number }** de { $user }, { $when }: { $model }{ $size ->
        [none] {""}
       *[other] , { $size }
    }, semilla `{ $seed }`

## Errores

error-unexpected = Ha ocurrido un error inesperado. Inténtalo otra vez; los detalles están en el registro del bot.
error-bad-prompt = { $length ->
        [0] Escribe qué debe mostrar la imagen.
       *[other] Tu texto es demasiado largo: con las palabras que agregan el estilo y el LoRA, tiene { $length } caracteres; el límite es { $limit }.
    }
error-bad-size = Este modelo no puede crear este formato o tamaño: { $size ->
        [square] { aspect-square }
        [portrait] { aspect-portrait }
        [landscape] { aspect-landscape }
        [wide] { aspect-wide }
        [tall] { aspect-tall }
       *[other] { $size }
    }. Elige uno de estos: { $allowed }.
error-bad-seed = Una semilla es un número entero de 0 a 9007199254740991.
error-bad-source-image = { $problem ->
        [not-image] Ese archivo no es una imagen que el bot pueda leer. Usa PNG, JPEG, WebP o GIF.
        [truncated] Esa imagen está incompleta o dañada. Súbela otra vez.
        [too-many-pixels] Esa imagen es demasiado grande: el límite es de { $megapixels } millones de píxeles.
        [too-many-bytes] Ese archivo es demasiado grande: el límite es de { $megabytes } MB.
        [took-too-long] Leer esa imagen tardó demasiado. Prueba con otra.
        [gone] Esa imagen ya no está disponible. Súbela otra vez.
       *[other] Esa imagen no se puede usar.
    }
error-bad-mask = { $problem ->
        [size] La máscara debe tener el mismo ancho y alto que la imagen.
        [nothing] La máscara no marca nada: haz blanca o transparente la parte que deba cambiar.
        [outside] La parte que debe cambiar queda fuera cuando la imagen se ajusta y se recorta al tamaño del resultado. Recorta tú la imagen o elige otro formato en { COMMAND("imagine") }.
       *[everything] La máscara marca toda la imagen, así que no quedaría nada de ella. Marca solo una parte.
    }
error-bad-strength = La fuerza debe estar entre 0,05 y 1, no { $strength }.
error-strength-alone = La fuerza necesita una imagen de la que partir: adjúntala en `imagen`.
error-cannot-start = { $model } no puede partir de una imagen.{ $others ->
        [none] {""}
       *[other] {" "}Estos sí pueden: { $others }.
    }
error-cannot-mask = { $model } no puede cambiar solo una parte de una imagen.{ $others ->
        [none] {""}
       *[other] {" "}Estos sí pueden: { $others }.
    }
error-mask-needed = { $model } solo cambia una parte marcada de una imagen. Agrega una máscara o usa un PNG con una parte transparente.
error-no-starts = Aquí ningún modelo puede partir de una imagen.
error-no-masks = Aquí ningún modelo puede cambiar solo una parte de una imagen.
error-no-source-image = Adjunta la imagen que quieres cambiar: no tienes ninguna anterior.
error-source-count = { $model } necesita este número de imágenes: { $count }.
error-unknown-model = No hay ningún modelo llamado { $model }. Elige uno de la lista.
error-no-model = { $kind ->
        [edit] Aquí ningún modelo puede modificar una imagen.
        [upscale] Aquí ningún modelo puede ampliar una imagen.
       *[other] Aquí ningún modelo puede crear una imagen a partir de una descripción.
    }
error-lora-unavailable = En este momento, ninguna GPU que use { $model } tiene { $lora }. Elige otro LoRA o ninguno, o inténtalo más tarde.
error-unknown-lora = No hay ningún LoRA llamado { $lora }. Elige uno de la lista.
error-lora-roles = Ninguno de tus roles puede usar { $lora }. Elige otro LoRA.
error-lora-models = { $lora } no es compatible con { $model }. Es compatible con: { $models }.
error-lora-strength = { $lora } admite una fuerza de { $least } a { $most }, en pasos de { $step }.
error-lora-missing = Elige también un LoRA: la fuerza sola no cambia nada.
error-unknown-style = No hay ningún estilo llamado { $style }. Elige uno de la lista.
error-no-variations = Ninguna GPU puede crear variaciones en este momento: a los servidores de GPU les falta algo que las variaciones necesitan. Avisa a un administrador.
error-model-unavailable = Ninguna GPU puede usar { $model } en este momento. Elige otro modelo o inténtalo más tarde.
error-not-allowed-here = { $model } solo funciona en canales con restricción de edad.
error-restricted-picture = Esa imagen solo se puede usar en canales con restricción de edad.
error-user-limit = { $limit ->
        [one] Puedes tener una imagen en la cola a la vez
       *[other] Puedes tener { $limit } imágenes en la cola a la vez
    }; { $active ->
        [0] pediste { $asked }.
        [one] ya tienes una.
       *[other] ya tienes { $active }.
    }
error-daily-limit = { $asked ->
        [one] { $limit ->
            [one] Ya has usado tu única imagen de hoy
           *[other] Ya has usado tus { $limit } imágenes de hoy
        }
       *[other] { $limit ->
            [one] Puedes crear una imagen al día, y esta petición supera ese límite
           *[other] Puedes crear { $limit } imágenes al día, y esta petición supera ese límite
        }
    }; el contador se reinicia a medianoche (UTC).
error-cooling-down = Espera { $seconds ->
        [one] un segundo más.
       *[other] { $seconds } segundos más.
    }
error-blocked = No puedes pedir imágenes aquí: un administrador te bloqueó.
error-guild-away = Este servidor no está disponible en este momento por un problema de Discord. Inténtalo otra vez en unos minutos.
error-banned-word = Tu prompt contiene una palabra que no está permitida aquí.
error-unknown-job = Esa imagen no está en la cola.
error-not-your-job = Esa imagen es de otra persona.
error-too-many-channels = En este servidor no cabe otro canal. Pídele a un administrador que elimine alguno.
error-queue-closed = { $why ->
        [shutting-down] El bot se está reiniciando. Inténtalo otra vez en un minuto.
        [set-up] El bot aún no está configurado: falta el ID de su servidor. Avisa a un administrador.
        [wrong-guild] El bot está configurado para otro servidor.
        [store] No se puede acceder a la base de datos del bot en este momento. Inténtalo otra vez en un minuto.
        [word-list] No se puede leer la lista de palabras prohibidas, así que no se acepta ningún prompt. Avisa a un administrador.
        [forgetting] Tus datos se están borrando en este momento. Inténtalo otra vez en un rato.
       *[other] No se aceptan peticiones nuevas en este momento. Inténtalo más tarde.
    }
error-generation = Algo falló mientras se creaba. Inténtalo otra vez.
error-engine-unavailable = El servidor de GPU falló o no se pudo conectar con él. Inténtalo otra vez.
error-server-lacks = Al servidor de GPU le falta algo que este modelo necesita. Avisa a un administrador.
error-out-of-memory = La GPU se quedó sin memoria, incluso con esta imagen sola. Prueba con un tamaño más pequeño.
error-fusion-refused = Esta imagen no se puede crear junto con otras. Ahora se creará por separado.
error-workflow-rejected = El servidor de GPU no aceptó esta petición. Avisa a un administrador.
error-execution-failed = El servidor de GPU tuvo un error mientras la creaba. Inténtalo otra vez; si vuelve a pasar, avisa a un administrador.
error-no-output = El servidor de GPU no envió ninguna imagen. Inténtalo otra vez.
error-model-gone = Ya no hay ninguna GPU que tenga { $model }. Elige otro modelo.
error-attempts-exhausted = Fallaron todos los intentos. Inténtalo más tarde.
error-store = No se puede acceder a la base de datos del bot en este momento. Inténtalo otra vez en un minuto.
error-permissions = { $permissions ->
        [none] Discord no deja que el bot haga eso aquí. Pídele a un administrador que revise los permisos del bot en este canal y en la categoría FuLLet.
       *[other] El bot no puede hacer eso aquí. Pídele a un administrador que le dé lo que falta: { $permissions }.
    }
error-form-number = «{ $value }» no es un número.
error-no-picture-here = En ese mensaje no hay ninguna imagen.
error-message-unchanged = El bot no pudo cambiar ni borrar ese mensaje. Inténtalo más tarde.
error-no-negative = { $model } no usa prompts negativos. Deja ese campo vacío.
error-gone = El bot no tiene ningún registro de esa imagen.
error-not-a-member = Solo los miembros del servidor del bot pueden hacer esto.
