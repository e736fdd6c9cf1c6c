FROM composer:2 AS vendor
COPY composer.json composer.lock /app/
RUN composer install --ignore-platform-reqs --no-dev

FROM php:8.3-fpm-alpine
RUN apk add --no-cache --virtual .build-deps $PHPIZE_DEPS \
	&& pecl install redis \
	&& docker-php-ext-enable redis \
	&& apk del .build-deps
COPY --from=composer:2 /usr/bin/composer /usr/bin/composer
COPY --from=vendor /app/vendor /var/www/vendor
RUN set -eux; \
	{ \
		echo 'memory_limit=256M'; \
		echo "upload_max_filesize=\"20M\""; \
	} > /usr/local/etc/php/conf.d/x.ini
